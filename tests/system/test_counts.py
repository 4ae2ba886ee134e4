"""Costs of one renewal, pinned: a slow regression fails here before anybody measures it."""

from collections.abc import Iterator
from typing import Final

import pytest

from benchmarks.counts import Counts, Meter
from deploy.local.waiting import wait_until
from devtools.scenario import invariants
from devtools.scenario.target import Target

# SQL round trips in transactions that wrote, each event in a batch of its own: fewer where events come together.
ROUND_TRIPS: Final = {
    # An attestation is three transactions that write: its key is claimed, the evidence is stored, its answer is stored.
    "identity-web": 39,
    "identity-relay": 6,
    # The draft reads the price list, and the steps behind it whether the renewal is late.
    "application-web": 42,
    "application-consume": 64,
    "application-relay": 18,
    "payment-web": 44,
    "payment-work": 26,
    "payment-consume": 19,
    "payment-relay": 6,
    # It reads all of issuance's events for those that are mailed: revocations and replaced PINs.
    "mailing-consume": 48,
    "mailing-work": 38,
    "mailing-print": 24,
    "mailing-relay": 6,
    # Domains begun and checks asked for are the half of it.
    "issuance-web": 60,
    "issuance-consume": 24,
    # Precertificate, SCTs and certificate are stored one after the other.
    "issuance-work": 58,
    "issuance-validate": 10,
    # It stamps what goes to the feed, in a transaction before the one that sends.
    "issuance-relay": 48,
    "desk-consume": 90,
}
# Audit rows share a seal if they come within two seconds, and a slow machine needs more of them: in work alone.
MORE_SEALS: Final = 2 * 8


@pytest.fixture(scope="module")
def counts(system: Target, spare: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Counts:
    """Counts of one renewal of one item, from sign-in to the last audit seal."""
    meter = Meter(installation=system.installation)
    # The first one writes the first page of many a table and index; the second one is measured.
    for srn in (next(spare), next(spare)):
        renewal = system.journey([srn], tmp_path_factory.mktemp("counted"))
        wait_for_rest(system)
        meter.start()
        renewal.apply()
        renewal.receive()
        renewal.fulfil()
        wait_for_rest(system)
        counted = meter.stop()
        renewal.ar.close()
    return counted


def wait_for_rest(system: Target) -> None:
    wait_until(lambda: invariants.at_rest(system), limit=60, what="nothing is left to do", every=0.2)


def test_renewal_of_one_item_makes_eleven_records(counts: Counts) -> None:
    assert counts.kafka_records == 11


def test_commits_of_a_renewal_stay_within_the_limit(counts: Counts) -> None:
    assert 60 <= counts.commits <= 90


def test_written_bytes_of_a_renewal_stay_within_the_limit(counts: Counts) -> None:
    # Some 13 KB of it are the copy of the evidence: the signed document, the CMS and its chain, once more.
    # Some 10 KB are the answers of six perspectives, the precertificate and the SCTs.
    assert 100_000 <= counts.wal_bytes <= 150_000


@pytest.mark.parametrize("process", ROUND_TRIPS)
def test_statements_of_an_idle_process_stay_within_the_limit(counts: Counts, process: str) -> None:
    service, _, kind = process.partition("-")
    more = MORE_SEALS if kind == "work" else 0
    assert 0 < counts.round_trips[service, kind] <= ROUND_TRIPS[process] + more


def test_every_process_is_counted(counts: Counts) -> None:
    found = {"-".join(process) for process in counts.round_trips}
    assert found - set(ROUND_TRIPS) <= {"identity-work", "application-work"}, "these two seal, and one fetches CRLs"
