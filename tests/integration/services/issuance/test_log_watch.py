"""Watch of the logs, and adoption of what they show: certificates of our key that the database has lost."""

import argparse
import base64
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.local.ct.log import Entry
from services.issuance import adoption, log_watch, log_watch_store, revocation, stray_certificates
from services.issuance.adoption import NothingToAdopt, NotOfThisCA, SerialTaken
from services.issuance.ca import profiles
from services.issuance.ca.crl import RevocationReason
from services.issuance.ct import tbs
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.log_list import LogList
from services.issuance.ct.merkle import Frontier
from services.issuance.log_watch import Watch
from services.issuance.refusals import CertificateExpired
from shared.runtime.operator_commands import Report
from tests.integration.services.issuance.test_crls import latest, publish
from tests.integration.services.issuance.test_precertificates import crl_reasons, short_of_scts
from tests.integration.services.issuance.world import World
from tests.support.engines import Database
from tests.support.transparency import lying
from tests.unit.services.issuance.pki import ADDRESSES, issuing_ca, leaf


@pytest.fixture
def world(world: World) -> World:
    """The service, which has read the logs up to now: their other entries are of other tests."""
    for log, made in world.transparency.logs.items():
        hashes = made.hashes()
        frontier = Frontier().followed_by(hashes)
        log_id = next(each.log_id for each in world.transparency.log_list.logs if each.description == log)
        with world.begin() as tx:
            log_watch_store.save_frontier(tx.conn, log_id, log, frontier, now=tx.now)
    return world


def watch(world: World, log_list: LogList | None = None) -> dict[str, dict[str, Any]]:
    """Return what one reading of each log found, by log."""
    reads = Watch(log_list=log_list or world.transparency.log_list, client=LogClient(), ca=world.issuer.ca)
    rows = log_watch.read_logs(world.pool, reads, max_entries=10_000, clock=world.clock)
    return {str(row["log"]): row for row in rows}


def forget(database: Database, table: str) -> None:
    """Empty a table and those that refer to it, as a restore of an old backup does."""
    with psycopg.connect(database.superuser_url) as conn:
        conn.execute(f"TRUNCATE {table} CASCADE".encode())


def gauge(world: World, query: str) -> list[tuple[Any, ...]]:
    with world.pool.connection() as conn:
        return conn.execute(query.encode(), {"now": world.now}).fetchall()


def test_own_certificates_are_known(world: World) -> None:
    world.issued(["www.example.hk"])
    short_of_scts(world)
    world.now += timedelta(days=2, minutes=1)
    world.transparency.sound()
    assert world.issue()
    found = watch(world)
    assert {(row["unknown"], row["fault"]) for row in found.values()} == {(0, None)}
    assert found["kowloon-1"]["entries"] >= 3
    assert {row["entries"] for row in watch(world).values()} == {0}


def test_certificate_that_a_restore_has_lost_is_found_adopted_and_revoked(world: World, issuance: Database) -> None:
    world.issued(["www.example.hk"])
    ((serial, precertificate),) = world.rows("SELECT serial, precertificate FROM intents")
    forget(issuance, "intents")
    assert {name: row["unknown"] for name, row in watch(world).items()} == {
        "kowloon-1": 1,
        "kowloon-2": 1,
        "lantau-1": 1,
        "lantau-2": 0,
    }
    ((der,),) = world.rows("SELECT der FROM unknown_certificates")
    assert der == precertificate
    assert gauge(world, log_watch_store.UNKNOWN) == [(1.0,)]
    with world.begin() as tx:
        assert adoption.adopt(tx, der, world.issuer.ca, "ops")
        assert not adoption.adopt(tx, der, world.issuer.ca, "ops"), "the second time"
    assert gauge(world, log_watch_store.UNKNOWN) == [(0.0,)]
    assert publish(world)
    assert [*latest(world)] == []
    with world.begin() as tx:
        revocation.revoke_serial(tx, serial, RevocationReason.SUPERSEDED, "ops")
    assert crl_reasons(world) == {serial: x509.ReasonFlags.superseded}
    audited = world.rows("SELECT action, actor FROM audit_log WHERE subject = %s ORDER BY id", serial)
    assert audited[-2:] == [("certificate-adopted", "ops"), ("certificate-revoked", "ops")]


def made_elsewhere(world: World) -> bytes:
    """Return a certificate that somebody signed with our key, past the database."""
    signer = world.issuer.signer
    plain = profiles.leaf_tbs(leaf(), world.issuer.ca, ADDRESSES, signer.algorithm)
    return profiles.assemble(plain, signer.algorithm, signer.sign(plain))


def test_certificate_signed_past_the_database_is_found(world: World) -> None:
    world.transparency.logs["kowloon-2"].add([made_elsewhere(world), world.issuer.ca.der], precertificate=False)
    assert watch(world)["kowloon-2"]["unknown"] == 1


def signed(world: World, made: bytes) -> bytes:
    """Return these to-be-signed bytes under a signature of our key."""
    return profiles.assemble(made, world.issuer.signer.algorithm, world.issuer.signer.sign(made))


def pair(world: World, name: str = "www.example.hk") -> tuple[bytes, bytes]:
    """Return precertificate and certificate, signed past the database; the serial is the same for each name."""
    algorithm = world.issuer.signer.algorithm
    poisoned = tbs.precertificate(profiles.leaf_tbs(leaf(names=(name,)), world.issuer.ca, ADDRESSES, algorithm))
    return signed(world, poisoned), signed(world, tbs.certificate(poisoned, b"\0\0"))


def is_known(world: World, der: bytes) -> bool:
    with world.begin() as tx:
        return adoption.is_known(tx.conn, der)


@pytest.mark.parametrize("first", [0, 1])
def test_stray_makes_its_own_pair_known_and_nothing_else_of_its_serial(world: World, first: int) -> None:
    own, other = pair(world), pair(world, "www.example.com")
    with world.begin() as tx:
        adoption.adopt(tx, own[first], world.issuer.ca, "ops")
    assert [is_known(world, der) for der in (*own, *other)] == [True, True, False, False]


def test_second_certificate_with_the_serial_of_a_stray_is_unknown_until_its_own_bytes_are_adopted(world: World) -> None:
    own, other = pair(world), pair(world, "www.example.com")
    with world.begin() as tx:
        adoption.adopt(tx, own[0], world.issuer.ca, "ops")
    world.transparency.logs["kowloon-2"].add([other[0], world.issuer.ca.der], precertificate=True)
    assert watch(world)["kowloon-2"]["unknown"] == 1
    with pytest.raises(SerialTaken), world.begin() as tx:
        adoption.adopt(tx, other[0], world.issuer.ca, "ops")
    serial = f"{x509.load_der_x509_certificate(own[0]).serial_number:x}"
    with world.begin() as tx:
        revocation.revoke_serial(tx, serial, RevocationReason.SUPERSEDED, "ops")
    assert gauge(world, log_watch_store.UNKNOWN) == [(1.0,)], "the other one was revoked"
    with world.begin() as tx:
        assert adoption.adopt(tx, other[0], world.issuer.ca, "ops")
    assert gauge(world, log_watch_store.UNKNOWN) == [(0.0,)]
    assert crl_reasons(world) == {serial: x509.ReasonFlags.superseded}
    ((details,),) = world.rows(
        "SELECT details FROM audit_log WHERE action = 'certificate-adopted' ORDER BY id OFFSET 1"
    )
    assert details["same_serial_as"] == sha256(own[0]).hexdigest()


def test_adopted_certificate_ends_the_alert_for_its_precertificate(world: World) -> None:
    precertificate, certificate = pair(world)
    world.transparency.logs["kowloon-1"].add([precertificate, world.issuer.ca.der], precertificate=True)
    watch(world)
    assert gauge(world, log_watch_store.UNKNOWN) == [(1.0,)]
    with world.begin() as tx:
        adoption.adopt(tx, certificate, world.issuer.ca, "ops")
    assert gauge(world, log_watch_store.UNKNOWN) == [(0.0,)]


def shows(entry: Entry, der: bytes, instead: bytes) -> Entry:
    """Return the entry with another precertificate beside its leaf; leaf and tree stay."""
    was, now = (len(each).to_bytes(3) + each for each in (der, instead))
    extra, tile_entry = entry.extra.replace(was, now), entry.tile_entry.replace(was, now)
    assert (extra, tile_entry) != (entry.extra, entry.tile_entry)
    return replace(entry, extra=extra, tile_entry=tile_entry)


@pytest.mark.parametrize("name", ["kowloon-1", "kowloon-2"])
@pytest.mark.parametrize("instead", ["bent", "known", "nothing"])
def test_log_that_hides_a_precertificate_of_ours_behind_other_bytes_is_a_fault(
    world: World, name: str, instead: str
) -> None:
    log, (known, _) = world.transparency.logs[name], pair(world, "www.example.com")
    hidden, _ = pair(world, f"{instead}.{name}.example.hk")  # a log keeps one entry of a precertificate
    with world.begin() as tx:
        adoption.adopt(tx, known, world.issuer.ca, "ops")
    log.add([hidden, world.issuer.ca.der], precertificate=True)
    der = {"bent": hidden[:-1] + bytes([hidden[-1] ^ 1]), "known": known, "nothing": b"\x30\x00"}[instead]
    begins = len(log.hashes()) - 1
    right = log.entries

    def entries(start: int, end: int) -> list[Entry]:
        return [shows(each, hidden, der) if each.position == begins else each for each in right(start, end)]

    with lying(log, entries=entries):
        found = watch(world)[name]
    assert "our key" in str(found["fault"])
    assert watch(world)[name]["unknown"] == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_hidden_entry_does_not_keep_another_unknown_one_from_being_stored(world: World, order: tuple[int, int]) -> None:
    log, place = world.transparency.logs["kowloon-1"], f"{order[0]}.masks.example.hk"
    hidden, shown = pair(world, place)[0], pair(world, f"shown.{place}")[0]
    for each in order:
        log.add([(hidden, shown)[each], world.issuer.ca.der], precertificate=True)
    begins, right = len(log.hashes()) - 2, log.entries

    def entries(start: int, end: int) -> list[Entry]:
        found = right(start, end)
        return [shows(each, hidden, b"0\0") if each.position == begins + order[0] else each for each in found]

    with lying(log, entries=entries):
        for _ in range(2):
            found = watch(world)["kowloon-1"]
            assert (found["entries"], found["unknown"]) == (2, 1)
            assert f"entry {begins + order[0]} " in str(found["fault"])
    assert world.rows("SELECT der FROM unknown_certificates") == [(shown,)]
    assert gauge(world, log_watch_store.FAULTS) == [("kowloon-1", 1.0)]
    assert watch(world)["kowloon-1"]["unknown"] == 2
    assert gauge(world, log_watch_store.FAULTS) == []


def test_log_whose_entries_are_not_its_tree_is_a_fault_and_nothing_is_stored(world: World) -> None:
    log = world.transparency.logs["kowloon-1"]
    watch(world)
    world.issued(["www.example.hk"])
    for lie in (
        {"sign": world.transparency.logs["lantau-1"].sign},
        {"hashes": lambda *size: [*log.__class__.hashes(log, *size)[:-1], bytes(32)]},
        {"hashes": lambda *size: log.__class__.hashes(log, *size)[:1]},
    ):
        before = world.rows("SELECT size FROM watched_logs WHERE description = 'kowloon-1'")
        with lying(log, **lie):
            assert watch(world)["kowloon-1"]["fault"]
        assert world.rows("SELECT size FROM watched_logs WHERE description = 'kowloon-1'") == before
        assert gauge(world, log_watch_store.FAULTS) == [("kowloon-1", 1.0)]
    assert watch(world)["kowloon-1"]["fault"] is None
    assert gauge(world, log_watch_store.FAULTS) == []


def test_unavailable_log_is_named_and_the_age_grows(world: World) -> None:
    watch(world)
    world.transparency.down = {"lantau-1"}
    world.now += timedelta(hours=1)
    found = watch(world)
    assert "503" in found["lantau-1"]["fault"]
    assert found["lantau-2"]["fault"] is None
    assert gauge(world, log_watch_store.AGE) == [(3600.0,)]


def test_log_that_was_never_readable_is_overdue_a_day_after_it_was_first_asked(
    world: World, issuance: Database
) -> None:
    forget(issuance, "watched_logs")
    world.transparency.down = {"lantau-1"}
    watch(world)
    world.now += timedelta(days=1)
    watch(world)
    assert gauge(world, log_watch_store.AGE) == [(86_400.0,)]


def test_log_that_left_the_list_is_neither_overdue_nor_faulty(world: World) -> None:
    with lying(world.transparency.logs["kowloon-1"], sign=world.transparency.logs["lantau-1"].sign):
        watch(world)
    assert gauge(world, log_watch_store.FAULTS) == [("kowloon-1", 1.0)]
    logs = world.transparency.log_list.logs
    kept = replace(world.transparency.log_list, logs=tuple(log for log in logs if log.description != "kowloon-1"))
    world.now += timedelta(days=1)
    watch(world, kept)
    assert (gauge(world, log_watch_store.FAULTS), gauge(world, log_watch_store.AGE)) == ([], [(0.0,)])
    assert "kowloon-1" in watch(world), "back on the list"
    assert gauge(world, log_watch_store.AGE) == [(0.0,)]


def stranger(_: World) -> bytes:
    ca, signer = issuing_ca("ec")
    plain = profiles.leaf_tbs(leaf(), ca, ADDRESSES, signer.algorithm)
    return profiles.assemble(plain, signer.algorithm, signer.sign(plain))


def bent(world: World) -> bytes:
    der = made_elsewhere(world)
    return der[:-1] + bytes([der[-1] ^ 1])


def same_serial(world: World) -> bytes:
    world.issued(["www.example.hk"])
    ((made,),) = world.rows("SELECT tbs FROM intents")
    changed = tbs.without_poison(made).replace(b"www.example.hk", b"www.example.uk")
    return profiles.assemble(changed, world.issuer.signer.algorithm, world.issuer.signer.sign(changed))


@pytest.mark.parametrize(
    ("make", "refusal"),
    [(stranger, NotOfThisCA), (bent, NotOfThisCA), (same_serial, SerialTaken), (lambda _: b"\x30\x00", NothingToAdopt)],
)
def test_what_our_key_did_not_sign_or_has_a_serial_in_use_is_not_adopted(
    world: World, make: Callable[[World], bytes], refusal: type[Exception]
) -> None:
    der = make(world)
    with pytest.raises(refusal), world.begin() as tx:
        adoption.adopt(tx, der, world.issuer.ca, "ops")
    assert world.rows("SELECT 1 FROM stray_certificates") == []


def test_adopted_certificate_with_a_blocked_key_is_revoked_at_once(world: World) -> None:
    der = made_elsewhere(world)
    certificate = x509.load_der_x509_certificate(der)
    with world.begin() as tx:
        stray = stray_certificates.stray_of(tx, der, origin="adopted")
        revocation.block_key(tx, stray.spki_sha256, source="reported", actor="ops")
        adoption.adopt(tx, der, world.issuer.ca, "ops")
    assert crl_reasons(world) == {f"{certificate.serial_number:x}": x509.ReasonFlags.key_compromise}


def test_expired_stray_is_not_revoked(world: World) -> None:
    der = made_elsewhere(world)
    with world.begin() as tx:
        adoption.adopt(tx, der, world.issuer.ca, "ops")
    world.now += timedelta(days=300)
    with pytest.raises(CertificateExpired), world.begin() as tx:
        revocation.revoke_serial(
            tx, f"{x509.load_der_x509_certificate(der).serial_number:x}", RevocationReason.SUPERSEDED, "ops"
        )


def run(world: World, *files: str) -> Sequence[Report]:
    adopting = adoption.command(lambda: world.issuer.ca)
    return [adopting.run(world.pool, argparse.Namespace(file=Path(file), actor="ops")) for file in files]


def test_file_may_be_pem_der_or_an_entry_of_a_log(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    der = made_elsewhere(world)
    serial = f"{x509.load_der_x509_certificate(der).serial_number:x}"
    world.transparency.logs["kowloon-1"].add([der, world.issuer.ca.der], precertificate=False)
    size = len(world.transparency.logs["kowloon-1"].hashes())
    (entry,) = world.transparency.logs["kowloon-1"].entries(size - 1, size)
    shown = {"leaf_input": base64.b64encode(entry.leaf).decode(), "extra_data": base64.b64encode(entry.extra).decode()}
    (tmp_path / "leaf.pem").write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    (tmp_path / "leaf.der").write_bytes(der)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(shown).encode())))
    found = run(world, "-", str(tmp_path / "leaf.pem"), str(tmp_path / "leaf.der"))
    assert [report.values for report in found] == [
        [{"serial": serial, "was": "adopted"}],
        [{"serial": serial, "was": "known"}],
        [{"serial": serial, "was": "known"}],
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b'{"leaf_input": "AAAA", "extra_data": ""}', b"no certificate"])
def test_file_without_a_certificate_is_refused(world: World, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NothingToAdopt):
        run(world, str(tmp_path / "file"))
