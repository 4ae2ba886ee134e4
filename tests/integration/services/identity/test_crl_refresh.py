"""CRLs are read in the background, from folders and http addresses; one bad list spoils no other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from prometheus_client import Gauge

from services.identity import crl_sources, crl_store, main, work
from shared.db import Pool
from shared.pki.crls import CRLRefused, issuer_id, issuer_of
from shared.runtime import database_gauges
from shared.tx import transaction
from tests.integration.services.identity.conftest import TRUST, Clock, count
from tests.support.engines import free_port
from tests.support.servers import serving
from tests.unit.services.identity.builders import CRL, NOW, make_crl, world

HOUR = timedelta(hours=1)


def refresh(pool: Pool, clock: Clock) -> bool:
    return work.refresh_next(pool, trust=TRUST, every=HOUR, clock=clock)


def settle_sources(pool: Pool, clock: Clock, *sources: str) -> None:
    with transaction(pool, clock=clock) as tx:
        crl_store.save_sources(tx.conn, sources, tx.now)


def numbers(pool: Pool) -> dict[str, list[int]]:
    """Return the numbers of the CRLs that count, by issuer."""
    with pool.connection() as conn:
        found = crl_store.find_crls(conn, [issuer_id(issuer) for issuer in TRUST.issuers])
    return {issuer: sorted(crl.number for crl in crls) for issuer, crls in found.items()}


def state(pool: Pool, source: str) -> tuple[object, ...]:
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT due_at, last_success_at, last_error FROM crl_sources WHERE source = %s", (source,)
        ).fetchone()
    assert row is not None
    return row


ROOT, SUB, SIBLING = (issuer_id(ca.certificate) for ca in (world().root, world().sub, world().sibling))


def test_folder_of_crls_is_read_and_read_again_when_due(pool: Pool, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "root.crl").write_bytes(make_crl(world().root))
    sub = x509.load_der_x509_crl(make_crl(world().sub, CRL(number=4)))
    (tmp_path / "sub.pem").write_bytes(sub.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "README.txt").write_text("not a CRL")
    settle_sources(pool, clock, str(tmp_path))

    assert refresh(pool, clock)
    assert not refresh(pool, clock), "it is not due again yet"
    assert numbers(pool) == {ROOT: [1], SUB: [4]}
    assert state(pool, str(tmp_path)) == (NOW + HOUR, NOW, None)

    (tmp_path / "sub.pem").write_bytes(make_crl(world().sub, CRL(number=5)))
    clock.now = NOW + HOUR
    assert refresh(pool, clock)
    assert numbers(pool) == {ROOT: [1], SUB: [5]}


def test_bad_crl_files_do_not_affect_good_ones(pool: Pool, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "1-junk.crl").write_bytes(b"junk")
    (tmp_path / "2-empty.crl").write_bytes(b"")
    (tmp_path / "3-forged.crl").write_bytes(make_crl(world().root, signed_by=world().sibling.key))
    (tmp_path / "4-outdated.crl").write_bytes(make_crl(world().sibling, CRL(next_update=NOW)))
    (tmp_path / "5-good.crl").write_bytes(make_crl(world().sub))
    settle_sources(pool, clock, str(tmp_path))

    assert refresh(pool, clock)

    assert numbers(pool) == {SUB: [1]}


def test_missing_folder_is_retried_soon(pool: Pool, clock: Clock, tmp_path: Path) -> None:
    source = str(tmp_path / "not-there")
    settle_sources(pool, clock, source)

    assert refresh(pool, clock)

    due_at, success, error = state(pool, source)
    assert (due_at, success) == (NOW + work.RETRY, None)
    assert "FileNotFoundError" in str(error)


def test_only_configured_sources_are_read(pool: Pool, clock: Clock, tmp_path: Path) -> None:
    settle_sources(pool, clock, "/before", str(tmp_path))
    settle_sources(pool, clock, str(tmp_path))

    assert count(pool, "crl_sources") == 1


def accept(pool: Pool, clock: Clock, der: bytes) -> None:
    with transaction(pool, clock=clock) as tx:
        work.accept(tx, der, issuer_of(der, TRUST.issuers))


@pytest.mark.parametrize(
    "older",
    [CRL(number=6), CRL(number=7, this_update=NOW - timedelta(hours=2))],
    ids=["lower number", "same number, made earlier"],
)
def test_crl_is_never_replaced_by_an_older_one(pool: Pool, clock: Clock, older: CRL) -> None:
    accept(pool, clock, make_crl(world().sub, CRL(number=7, revoked=(5,))))

    with pytest.raises(CRLRefused) as caught:
        accept(pool, clock, make_crl(world().sub, older))

    assert caught.value.reason == "crl-goes-back"
    assert numbers(pool) == {SUB: [7]}


def test_same_crl_again_changes_nothing(pool: Pool, clock: Clock) -> None:
    der = make_crl(world().sub, CRL(number=7))
    accept(pool, clock, der)
    accept(pool, clock, der)

    assert count(pool, "crls") == 1
    assert count(pool, "audit_log") == 1


def test_crl_number_beyond_64_bits_is_stored(pool: Pool, clock: Clock) -> None:
    accept(pool, clock, make_crl(world().sub, CRL(number=2**158)))

    assert numbers(pool) == {SUB: [2**158]}


def test_crl_number_over_20_octets_refuses_only_its_crl(pool: Pool, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "1-long.crl").write_bytes(make_crl(world().sub, CRL(number=2**200)))
    (tmp_path / "2-good.crl").write_bytes(make_crl(world().root))
    settle_sources(pool, clock, str(tmp_path))

    assert refresh(pool, clock)

    assert numbers(pool) == {ROOT: [1]}
    assert state(pool, str(tmp_path))[1] == NOW


def test_gauges_show_the_crls_in_the_database(pool: Pool, clock: Clock) -> None:
    week_long = CRL(number=7, next_update=NOW + timedelta(days=30))
    delta = CRL(number=8, extra=((x509.DeltaCRLIndicator(7), True),))
    for der in (make_crl(world().sub, week_long), make_crl(world().sub, delta), make_crl(world().sibling)):
        accept(pool, clock, der)
    with transaction(pool, clock=clock) as tx:
        crl_store.pin_issuers(tx.conn, {SUB: "Sub-CA", ROOT: "Root CA"})

    for reading in main.SERVICE.readings:
        database_gauges._take(pool, reading, clock)

    of_crls = [each.gauge for each in main.SERVICE.readings if "crl" in each.gauge._name]
    made, until = map(_samples, of_crls)
    made_at = NOW - HOUR
    assert made == {("Sub-CA", "all"): made_at.timestamp()}
    # Of the root no list has come at all: that is an alert too.
    assert until == {("Sub-CA", "all"): (made_at + timedelta(days=7)).timestamp(), ("Root CA", "none"): 0}


def _samples(gauge: Gauge) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["issuer"], sample.labels["scope"]): sample.value
        for metric in gauge.collect()
        for sample in metric.samples
    }


def test_expired_crls_of_an_unpinned_ca_are_deleted(pool: Pool, clock: Clock) -> None:
    accept(pool, clock, make_crl(world().sub))
    accept(pool, clock, make_crl(world().sibling))
    with transaction(pool, clock=clock) as tx:
        crl_store.pin_issuers(tx.conn, {SUB: "Sub-CA", ROOT: "Root CA"})
        crl_store.prune_crls(tx.conn, NOW)
        assert numbers(pool).keys() == {SUB, SIBLING}, "a list that is still good is kept"
    with transaction(pool, clock=clock) as tx:
        crl_store.prune_crls(tx.conn, NOW + timedelta(days=3))

    assert numbers(pool).keys() == {SUB}
    assert count(pool, "crls") == 1


@contextmanager
def web_server(answer: bytes, *, status: int = 200, location: str | None = None) -> Iterator[str]:
    """Yield an http server of one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/sub.crl"


def test_crl_is_fetched_over_http(pool: Pool, clock: Clock) -> None:
    with web_server(make_crl(world().sub, CRL(number=9))) as url:
        settle_sources(pool, clock, url)
        assert refresh(pool, clock)

    assert numbers(pool) == {SUB: [9]}
    assert state(pool, url) == (NOW + HOUR, NOW, None)


def test_failed_redirected_or_too_large_response_is_retried_soon(
    pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crl_sources, "MAX_BYTES", 100)
    good = make_crl(world().sub)
    with (
        web_server(b"", status=500) as failing,
        web_server(b"", status=302, location="http://127.0.0.1:1/") as moving,
        web_server(good) as large,
    ):
        settle_sources(pool, clock, failing, moving, large, "http://127.0.0.1:1/nobody.crl")
        while refresh(pool, clock):
            pass
        errors = [state(pool, url)[2] for url in (failing, moving, large, "http://127.0.0.1:1/nobody.crl")]

    assert errors == ["status 500", "status 302", "the answer is too large", "ConnectionError"]
    assert numbers(pool) == {}


def test_slow_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_sources, "TOTAL_TIMEOUT_SECONDS", -1.0)
    with web_server(make_crl(world().sub)) as url, pytest.raises(crl_sources.SourceUnavailable) as caught:
        list(crl_sources.read(url))

    assert str(caught.value) == "the answer takes too long"


def test_concurrent_workers_read_a_due_source_once(pool: Pool, clock: Clock, tmp_path: Path) -> None:
    settle_sources(pool, clock, str(tmp_path))
    turns: list[bool] = []
    threads = [threading.Thread(target=lambda: turns.append(refresh(pool, clock))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(turns) == [False, False, False, True]
