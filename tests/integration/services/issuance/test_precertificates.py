"""Precertificates: logged before the certificate is signed, and revoked if no certificate follows."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuance import adoption, certificate_issuance, revocation, work
from services.issuance.ca import profiles
from services.issuance.ca.crl import RevocationReason
from services.issuance.ct import scts, submission, tbs
from services.issuance.ct.submission import NotEnoughSCTs
from tests.integration.services.issuance.test_crls import latest, publish
from tests.integration.services.issuance.test_issuing import Dies, SignerThatDies
from tests.integration.services.issuance.test_waiting_intents import block_its_key, signed_while
from tests.integration.services.issuance.world import Renewal, World
from tests.support.engines import Database


def submitted(world: World) -> Renewal:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    return renewal


def of_one_operator_only(world: World) -> None:
    world.transparency.down = {"lantau-1", "lantau-2"}


def short_of_scts(world: World) -> Renewal:
    """Return a renewal whose precertificate is signed and has SCTs of one operator only."""
    renewal = submitted(world)
    of_one_operator_only(world)
    with pytest.raises(NotEnoughSCTs):
        world.issue()
    return renewal


def crl_reasons(world: World) -> dict[str, x509.ReasonFlags | None]:
    """Return the serial numbers on the next CRL, with their reasons."""
    assert publish(world)
    found = {}
    for each in latest(world):
        reasons = [one.value.reason for one in each.extensions if isinstance(one.value, x509.CRLReason)]
        found[f"{each.serial_number:x}"] = reasons[0] if reasons else None
    return found


def test_certificate_contains_the_scts_of_its_precertificate(world: World, tmp_path: Path) -> None:
    world.issued(["www.example.hk"])
    ((precertificate, stored, der),) = world.rows(
        "SELECT precertificate, certificate_tbs, der FROM intents JOIN certificates USING (serial)"
    )
    assert profiles.tbs_of(der) == stored
    tbs.check_pair(profiles.tbs_of(precertificate), stored)
    certificate = x509.load_der_x509_certificate(der)
    shown = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    logs = {log.log_id: log for log in world.transparency.log_list.logs}
    assert {logs[each.log_id].description for each in shown} == {"kowloon-1", "kowloon-2", "lantau-1"}
    (tmp_path / "leaf.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    text = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "leaf.pem", "-noout", "-ext", "ct_precert_scts"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert text.count("Signed Certificate Timestamp") == 3


@pytest.mark.parametrize(("signed_at", "count"), [("2027-03-14T23:59:00", 3), ("2027-03-15T00:00:00", 2)])
def test_number_of_scts_falls_with_the_lifetime(world: World, signed_at: str, count: int) -> None:
    world.now = datetime.fromisoformat(signed_at).replace(tzinfo=UTC)
    world.issued(["www.example.hk"])
    ((made,),) = world.rows("SELECT certificate_tbs FROM intents")
    assert len(scts.decode_list(tbs.sct_list_of(made))) == count


def test_too_few_scts_sign_nothing_and_the_next_attempt_uses_those_at_hand(world: World) -> None:
    before = submission.SHORTFALLS._value.get()
    renewal = short_of_scts(world)
    assert submission.SHORTFALLS._value.get() == before + 1
    assert world.announced_types(renewal.renewal_id)[-1] == "csr-received"
    ((serial, precertificate, kept, made),) = world.rows(
        "SELECT serial, precertificate, scts, certificate_tbs FROM intents"
    )
    assert len(scts.decode_list(kept)) == 2
    assert made is None
    world.transparency.sound()
    world.transparency.down = {"kowloon-1", "kowloon-2"}
    world.now += certificate_issuance.LEASE
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    assert world.rows("SELECT serial, precertificate FROM intents") == [(serial, precertificate)]
    ((made,),) = world.rows("SELECT certificate_tbs FROM intents")
    assert set(scts.decode_list(kept)) < set(scts.decode_list(tbs.sct_list_of(made)))


def test_logs_that_stay_away_for_two_days_replace_the_serial_and_revoke_the_first(world: World) -> None:
    renewal = short_of_scts(world)
    ((first,),) = world.rows("SELECT serial FROM intents")
    world.now += timedelta(days=2, minutes=1)
    world.transparency.sound()
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    ((second,),) = world.rows("SELECT serial FROM certificates")
    assert second != first
    assert world.rows("SELECT serial, origin, revocation_reason FROM stray_certificates") == [
        (first, "intent-ended", "unspecified")
    ]
    assert crl_reasons(world) == {first: None}
    audited = world.rows("SELECT action FROM audit_log WHERE subject = %s ORDER BY id", first)
    assert [action for (action,) in audited] == [
        "intent-made",
        "precertificate-signed",
        "intent-ended",
        "precertificate-revoked",
    ]


def test_key_blocked_while_logs_are_away_revokes_the_precertificate_at_once(world: World) -> None:
    renewal = short_of_scts(world)
    block_its_key(world)
    assert world.issue(), "without waiting for the lease"
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
    ((serial, reason),) = world.rows("SELECT serial, revocation_reason FROM stray_certificates")
    assert reason == "keyCompromise"
    assert crl_reasons(world) == {serial: x509.ReasonFlags.key_compromise}


def replaced_by_another(world: World) -> None:
    world.now += timedelta(days=2, minutes=1)
    assert world.issue()


@pytest.mark.parametrize(
    ("happens", "reason", "certificates"),
    [(replaced_by_another, "unspecified", 1), (block_its_key, "keyCompromise", 0)],
)
def test_precertificate_signed_after_its_intent_ended_is_never_logged_and_revoked(
    world: World, happens: Callable[[World], None], reason: str, certificates: int
) -> None:
    renewal = submitted(world)
    signed_while(world, renewal, lambda: happens(world), at=1)
    assert world.rows("SELECT origin, revocation_reason FROM stray_certificates") == [("intent-ended", reason)]
    assert len(world.rows("SELECT 1 FROM certificates")) == certificates
    logged = b"".join(each.leaf for each in world.transparency.logs["kowloon-1"].entries(0, 2**30))
    ((serial,),) = world.rows("SELECT serial FROM stray_certificates")
    assert bytes.fromhex(serial) not in logged


def test_serial_of_precertificate_and_certificate_is_on_the_crl_once(world: World) -> None:
    renewal = submitted(world)
    signed_while(world, renewal, lambda: replaced_by_another(world), at=2)
    ((serial,),) = world.rows("SELECT serial FROM certificates WHERE NOT given_out")
    assert world.rows("SELECT serial FROM stray_certificates") == [(serial,)]
    assert publish(world)
    assert [f"{each.serial_number:x}" for each in latest(world)] == [serial]


def test_graver_reason_of_a_stray_is_on_the_next_crl(world: World) -> None:
    short_of_scts(world)
    ((serial,),) = world.rows("SELECT serial FROM intents")
    world.now += timedelta(days=2, minutes=1)
    world.transparency.sound()
    assert world.issue()
    assert crl_reasons(world) == {serial: None}
    with world.begin() as tx:
        revocation.revoke_serial(tx, serial, RevocationReason.KEY_COMPROMISE, "ops")
    assert crl_reasons(world)[serial] is x509.ReasonFlags.key_compromise
    assert world.rows("SELECT revocation_reason FROM certificates") == [("keyCompromise",)], "it has the same key"


def test_worker_that_collected_other_scts_uses_the_stored_bytes(world: World) -> None:
    submitted(world)
    dying = SignerThatDies(world, at=2)
    with pytest.raises(Dies):
        work.issue_next(world.pool, world.deps(signer=dying), clock=world.clock)
    ((stored,),) = world.rows("SELECT certificate_tbs FROM intents")
    world.transparency.down = {"kowloon-1"}
    world.now += certificate_issuance.LEASE
    assert world.issue()
    ((der,),) = world.rows("SELECT der FROM certificates")
    assert profiles.tbs_of(der) == stored


def test_intent_of_before_precertificates_is_replaced_and_its_bytes_are_never_signed(
    world: World, issuance: Database
) -> None:
    renewal = submitted(world)
    with pytest.raises(Dies):
        work.issue_next(world.pool, world.deps(signer=SignerThatDies(world)), clock=world.clock)
    ((old, poisoned),) = world.rows("SELECT serial, tbs FROM intents")
    with psycopg.connect(issuance.url) as conn:
        conn.execute("UPDATE intents SET tbs = %s", (tbs.without_poison(poisoned),))
    world.now += certificate_issuance.LEASE
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    states: dict[Any, Any] = dict(world.rows("SELECT serial, state FROM intents"))
    assert states.pop(old) == "tombstone"
    assert [*states.values()] == ["signed"]
    assert crl_reasons(world) == {old: None}, "a certificate of it may have been signed and lost"


@pytest.mark.parametrize(
    ("reason", "shown", "refusal"),
    [
        (RevocationReason.UNSPECIFIED, None, "revoked"),
        (RevocationReason.PRIVILEGE_WITHDRAWN, x509.ReasonFlags.privilege_withdrawn, "revoked"),
        (RevocationReason.KEY_COMPROMISE, x509.ReasonFlags.key_compromise, "revoked"),
    ],
)
def test_revoked_precertificate_ends_its_intent_and_is_on_the_next_crl(
    world: World, reason: RevocationReason, shown: x509.ReasonFlags | None, refusal: str
) -> None:
    renewal = short_of_scts(world)
    ((serial,),) = world.rows("SELECT serial FROM intents")
    with world.begin() as tx:
        found = revocation.revoke_serial(tx, serial, reason, "ops")
    assert (found.serial, found.revocation_reason) == (serial, reason.value)
    assert world.announced_types(renewal.renewal_id)[-1] == "issuance-refused"
    assert world.rows("SELECT state, refusal FROM orders") == [("refused", refusal)]
    assert crl_reasons(world) == {serial: shown}
    world.transparency.sound()
    world.now += timedelta(days=3)
    assert not world.issue()
    assert world.rows("SELECT 1 FROM certificates") == []


def test_certificate_signed_while_its_precertificate_is_revoked_has_the_same_reason(world: World) -> None:
    renewal = submitted(world)

    def revoke_it() -> None:
        ((serial,),) = world.rows("SELECT serial FROM intents")
        with world.begin() as tx:
            revocation.revoke_serial(tx, serial, RevocationReason.PRIVILEGE_WITHDRAWN, "ops")

    signed_while(world, renewal, revoke_it)
    ((serial,),) = world.rows("SELECT serial FROM certificates WHERE NOT given_out")
    assert crl_reasons(world) == {serial: x509.ReasonFlags.privilege_withdrawn}


@pytest.mark.parametrize("then", [replaced_by_another, block_its_key])
def test_serial_whose_signature_a_crash_has_lost_is_on_the_crl(world: World, then: Callable[[World], None]) -> None:
    submitted(world)
    dying = SignerThatDies(world)
    with pytest.raises(Dies):
        work.issue_next(world.pool, world.deps(signer=dying), clock=world.clock)
    ((first, bytes_to_sign),) = world.rows("SELECT serial, tbs FROM intents")
    then(world)
    world.now += timedelta(days=3)
    world.issue()
    assert crl_reasons(world).keys() == {first}
    lost = profiles.assemble(bytes_to_sign, dying.algorithm, dying.signatures[0])
    with world.begin() as tx:
        assert adoption.is_known(tx.conn, lost), "a log may show it after a restore"
