"""Submission of precertificates to real logs in this process: parallel, replaced when one is down, slow or lying."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import REGISTRY

from services.issuance.ca import profiles
from services.issuance.ca.validity_policy import validity
from services.issuance.ct import scts, tbs
from services.issuance.ct.log_client import LogClient
from services.issuance.ct.scts import SCT, PrecertEntry
from services.issuance.ct.submission import SUBMISSIONS, Logs, NotEnoughSCTs, Submission
from tests.support.dripping import BEGINNINGS, dripping, within
from tests.support.transparency import RunningLogs, an_hour_ahead, lying, running_logs
from tests.unit.services.issuance.pki import ADDRESSES, NOW, issuing_ca, leaf


@pytest.fixture
def logs() -> Iterator[RunningLogs]:
    """The logs of this process, without faults before and after."""
    running = running_logs()
    running.sound()
    running.now = lambda: NOW
    yield running
    running.sound()


def submission(now: datetime = NOW) -> Submission:
    ca, signer = issuing_ca()
    lives = validity(now)
    made = leaf(lives=lives)
    plain = profiles.leaf_tbs(
        replace(made, serial=made.serial + time.monotonic_ns() % 2**60), ca, ADDRESSES, signer.algorithm
    )
    poisoned = tbs.precertificate(plain)
    return Submission(
        precertificate=profiles.assemble(poisoned, signer.algorithm, signer.sign(poisoned)),
        chain=(ca.der, *(each.public_bytes(Encoding.DER) for each in ca.chain)),
        entry=PrecertEntry(issuer_key_hash=sha256(signer.spki).digest(), tbs=plain),
        not_before=lives.not_before,
        not_after=lives.not_after,
    )


def names(logs: RunningLogs, found: tuple[SCT, ...]) -> set[str]:
    by_id = {each.log_id: each.description for each in logs.log_list.logs}
    return {by_id[sct.log_id] for sct in found}


def collect(logs: RunningLogs, have: tuple[SCT, ...] = (), now: datetime = NOW, **limits: Any) -> tuple[SCT, ...]:
    return logs.client(**limits).collect(submission(now), have, logs.now)


def test_three_scts_of_two_operators_for_199_days(logs: RunningLogs) -> None:
    found = collect(logs)
    assert names(logs, found) == {"kowloon-1", "kowloon-2", "lantau-1"}
    assert {each.operator for each in logs.log_list.logs if each.description in names(logs, found)} == {
        "Kowloon Logs (Test)",
        "Lantau Logs (Test)",
    }


def test_two_scts_one_of_each_operator_for_99_days(logs: RunningLogs) -> None:
    march = datetime.fromisoformat("2027-03-15T00:00:00+00:00")
    logs.now = lambda: march
    assert names(logs, collect(logs, now=march)) == {"kowloon-1", "lantau-1"}


def failed(log: str) -> Counter[str]:
    """Return how often submissions to the log failed, by outcome; late answers of other tests' logs are SCTs."""
    counted = [sample for metric in SUBMISSIONS.collect() for sample in metric.samples if "_total" in sample.name]
    ours = [each for each in counted if each.labels["log"] == log and each.labels["outcome"] != "sct"]
    return Counter({each.labels["outcome"]: int(each.value) for each in ours})


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("down", "rejected"),
        ("hanging", None),  # counted once it answers
        ("other log", "other-log"),
        ("other signature", "signature"),
        ("future", "future"),
        ("key hash", "signature"),
    ],
)
def test_log_that_fails_or_lies_is_replaced(logs: RunningLogs, fault: str, outcome: str | None) -> None:
    bad = logs.logs["kowloon-1"]
    sign, other_key = bad.sign, logs.logs["lantau-1"].sign
    key_hash = submission().entry.issuer_key_hash
    lies: dict[str, dict[str, Any]] = {
        "other signature": {"sign": other_key},
        "future": {"clock": an_hour_ahead(bad)},
        "key hash": {"sign": lambda message: sign(message.replace(key_hash, bytes(32)))},
    }
    logs.down = {"kowloon-1"} if fault == "down" else set()
    logs.hanging = {"kowloon-1"} if fault == "hanging" else set()
    logs.instead = {"kowloon-1": "lantau-1"} if fault == "other log" else {}
    before, begun = failed("kowloon-1"), time.monotonic()
    with lying(bad, **lies.get(fault, {})):
        found = collect(logs, hedge_seconds=0.2)
    assert failed("kowloon-1") - before == Counter([outcome] if outcome else [])
    assert names(logs, found) == {"kowloon-2", "lantau-1", "lantau-2"}
    assert time.monotonic() - begun < 3


def test_all_logs_of_one_operator_down_gives_no_set_and_keeps_the_scts(logs: RunningLogs) -> None:
    logs.down = {"lantau-1", "lantau-2"}
    with pytest.raises(NotEnoughSCTs) as raised:
        collect(logs)
    assert names(logs, raised.value.scts) == {"kowloon-1", "kowloon-2"}
    assert raised.value.reasons.keys() == {"lantau-1", "lantau-2"}
    assert all("503" in why for why in raised.value.reasons.values())


def test_kept_scts_count_in_the_next_attempt(logs: RunningLogs) -> None:
    logs.down, client, it = {"lantau-1", "lantau-2"}, logs.client(), submission()
    with pytest.raises(NotEnoughSCTs) as raised:
        client.collect(it, (), logs.now)
    logs.sound()
    logs.down = {"kowloon-1", "kowloon-2"}
    found = client.collect(it, raised.value.scts, logs.now)
    assert set(raised.value.scts) < set(found)


def test_logs_that_all_hang_end_at_the_deadline(logs: RunningLogs) -> None:
    logs.hanging = set(logs.logs)
    begun = time.monotonic()
    with pytest.raises(NotEnoughSCTs) as raised:
        collect(logs, deadline=timedelta(seconds=0.5), hedge_seconds=0.2)
    assert time.monotonic() - begun < 2
    assert set(raised.value.reasons.values()) == {"no answer in time"}


@pytest.mark.parametrize("begins", BEGINNINGS.values(), ids=BEGINNINGS)
def test_log_that_answers_byte_by_byte_gives_its_thread_back_in_time(logs: RunningLogs, begins: bytes) -> None:
    with dripping(begins) as port, within(2):
        there = tuple(replace(each, url=f"http://127.0.0.1:{port}/") for each in logs.log_list.logs)
        asked = Logs(replace(logs.log_list, logs=there), LogClient(read_timeout=0.4))
        with pytest.raises(NotEnoughSCTs) as raised:
            asked.collect(submission(), (), logs.now)
        for thread in threading.enumerate():
            if thread.name == "ct-submission":
                thread.join(5)
    assert raised.value.reasons
    assert all("timed out" in why for why in raised.value.reasons.values())


def test_log_that_failed_is_asked_last_the_next_time(logs: RunningLogs) -> None:
    logs.down, client = {"kowloon-1"}, logs.client()
    client.collect(submission(), (), logs.now)
    logs.sound()
    assert names(logs, client.collect(submission(), (), logs.now)) == {"kowloon-2", "lantau-1", "lantau-2"}


def test_same_precertificate_gets_the_same_time_again(logs: RunningLogs) -> None:
    it, client = submission(), logs.client()
    first = client.collect(it, (), logs.now)
    logs.now = lambda: NOW + timedelta(hours=1)
    again = client.collect(it, (), logs.now)
    assert [each.timestamp for each in first] == [each.timestamp for each in again]


@pytest.mark.parametrize(("days", "refused"), [(69, False), (71, True)])
def test_list_of_more_than_70_days_is_not_used_and_says_so(logs: RunningLogs, days: int, refused: bool) -> None:
    made_at = NOW - timedelta(days=days)
    client, it = Logs(replace(logs.log_list, made_at=made_at), LogClient()), submission()
    if not refused:
        assert len(client.collect(it, (), logs.now)) == 3
        return
    kept = logs.client().collect(submission(), (), logs.now)[:1]
    before = {name: len(log.hashes()) for name, log in logs.logs.items()}
    with pytest.raises(NotEnoughSCTs, match=r"log list: made at 2026-09-13.* more than 70 days ago") as raised:
        client.collect(it, kept, logs.now)
    assert raised.value.scts == kept
    assert {name: len(log.hashes()) for name, log in logs.logs.items()} == before, "no log was asked"


def test_age_of_the_list_in_use_is_measured(logs: RunningLogs) -> None:
    Logs(replace(logs.log_list, made_at=datetime.now(UTC) - timedelta(days=31)), LogClient())
    assert REGISTRY.get_sample_value("issuance_ct_log_list_age_seconds") == pytest.approx(31 * 86400, abs=60)


def test_stored_sct_counts_only_if_it_is_of_this_precertificate(logs: RunningLogs) -> None:
    ours, another = submission(), submission()
    have = logs.client().collect(ours, (), logs.now)
    asked = sum(len(log.entries(0, 2**30)) for log in logs.logs.values())
    assert logs.client().collect(ours, have, logs.now) == have
    assert sum(len(log.entries(0, 2**30)) for log in logs.logs.values()) == asked, "no log was asked again"
    assert not set(have) & set(logs.client().collect(another, have, logs.now))


def test_log_rejects_what_is_not_of_its_roots(logs: RunningLogs) -> None:
    it = submission()
    stranger = replace(it, chain=it.chain[1:])
    with pytest.raises(NotEnoughSCTs) as raised:
        logs.client().collect(stranger, (), logs.now)
    assert raised.value.scts == ()
    assert {why[:3] for why in raised.value.reasons.values()} == {"400"}


def test_scts_in_a_certificate_are_read_by_cryptography(logs: RunningLogs) -> None:
    it = submission()
    _, signer = issuing_ca()
    final = tbs.certificate(tbs.precertificate(it.entry.tbs), scts.encode_list(logs.client().collect(it, (), logs.now)))
    parsed = x509.load_der_x509_certificate(profiles.assemble(final, signer.algorithm, signer.sign(final)))
    found = parsed.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert {each.log_id for each in found} <= {each.log_id for each in logs.log_list.logs}
    assert len(list(found)) == 3
