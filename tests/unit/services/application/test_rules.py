"""Eligibility and the document to sign."""

import hashlib
import json
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.application import document, terms
from services.application.domain import Item, ItemState, RenewalKind
from services.application.eligibility import ADVICE, Limits, judge, month_before
from services.application.period import today
from services.application.subscription import Subscription
from shared.vocabulary import ItemId, Language, Product, RenewalId
from shared.web.auth import Caller
from tests.support.builders import AR, NOW

ME = AR()
CALLER = Caller(
    ar_id=ME.id,
    subscriber_id=ME.subscriber_id,
    certificate_sha256=ME.certificate_sha256,
    organisation_verified_at=NOW,
    authority_verified_at=NOW,
)
MARGIN = timedelta(days=30)
LIMITS = Limits(evidence_margin=MARGIN, opens_days=90)
TODAY = today(NOW)
LAPSED = replace(CALLER, authority_verified_at=NOW - timedelta(days=399))
SUBSCRIPTION = Subscription(
    srn="0002310001",
    subscriber_id=ME.subscriber_id,
    subscriber_name=ME.subscriber_name,
    ar_id=ME.id,
    ar_name=ME.name,
    product=Product.STANDARD,
    server_names=("www.example.hk",),
    additional_servers=0,
    standing="active",
    certificate="",
    serial="1",
    not_after=NOW + timedelta(days=45),
    paid_from=TODAY - timedelta(days=320),
    paid_until=TODAY + timedelta(days=45),
)


@pytest.mark.parametrize(
    ("day", "before"),
    [
        (date(2026, 11, 23), date(2026, 10, 23)),
        (date(2026, 3, 31), date(2026, 2, 28)),
        (date(2028, 3, 31), date(2028, 2, 29)),
        (date(2028, 3, 29), date(2028, 2, 29)),
        (date(2026, 12, 31), date(2026, 11, 30)),
        (date(2026, 7, 31), date(2026, 6, 30)),
        (date(2027, 1, 31), date(2026, 12, 31)),
        (date(2027, 1, 1), date(2026, 12, 1)),
    ],
)
def test_one_month_before_a_day(day: date, before: date) -> None:
    assert month_before(day) == before


@given(st.dates(min_value=date(2000, 1, 1)))
def test_one_month_before_is_28_to_31_days_earlier(day: date) -> None:
    assert 28 <= (day - month_before(day)).days <= 31


@pytest.mark.parametrize(
    ("changes", "being_renewed", "reason"),
    [
        ({}, False, None),
        ({"standing": "suspended"}, False, "suspended"),
        ({"standing": "revoked"}, False, "revoked"),
        ({"paid_until": TODAY - timedelta(days=1)}, False, "expired"),
        ({"paid_until": TODAY}, False, None),
        ({"not_after": NOW - timedelta(days=1)}, False, None),
        ({"paid_until": TODAY + timedelta(days=90)}, False, None),
        ({"paid_until": TODAY + timedelta(days=91)}, False, "too-early"),
        ({"paid_until": TODAY + timedelta(days=91)}, True, "being-renewed"),
        ({"ar_id": "ar-other"}, False, "ar-changed"),
        ({}, True, "being-renewed"),
        ({"standing": "revoked", "paid_until": TODAY - timedelta(days=1), "ar_id": "ar-other"}, True, "revoked"),
        ({"paid_until": TODAY - timedelta(days=1), "ar_id": "ar-other"}, True, "expired"),
        ({"ar_id": "ar-other"}, True, "ar-changed"),
    ],
)
def test_reasons_are_given_in_their_order(changes: dict[str, Any], being_renewed: bool, reason: str | None) -> None:
    for caller, expected in ((CALLER, reason), (LAPSED, reason or "evidence-lapsing")):
        verdict = judge(
            replace(SUBSCRIPTION, **changes),
            being_renewed=being_renewed,
            caller=caller,
            now=NOW,
            limits=LIMITS,
        )
        assert verdict.reason == expected
        assert verdict.advice == (None if expected is None else ADVICE[expected])


OLDEST = NOW - timedelta(days=398) + MARGIN
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("organisation", "authority", "reason"),
    [
        (NOW, NOW, None),
        (OLDEST, OLDEST, None),
        (OLDEST - SECOND, NOW, "evidence-lapsing"),
        (NOW, OLDEST - SECOND, "evidence-lapsing"),
        (NOW - timedelta(days=1000), NOW, "evidence-lapsing"),
        (None, NOW, "evidence-unknown"),
        (NOW, None, "evidence-unknown"),
        (None, None, "evidence-unknown"),
    ],
)
def test_evidence_must_outlast_the_renewal(
    organisation: datetime | None, authority: datetime | None, reason: str | None
) -> None:
    caller = replace(CALLER, organisation_verified_at=organisation, authority_verified_at=authority)
    verdict = judge(SUBSCRIPTION, being_renewed=False, caller=caller, now=NOW, limits=LIMITS)
    assert verdict.reason == reason
    if organisation is None or authority is None:
        assert verdict.evidence_until is None
    else:
        assert verdict.evidence_until == min(organisation, authority) + timedelta(days=398)


ENDS = date(2026, 12, 15)


@pytest.mark.parametrize(
    ("now", "late"),
    [
        (datetime(2026, 11, 15, 15, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 15, 16, 0, tzinfo=UTC), True),
    ],
)
def test_last_day_to_renew_in_time_ends_at_midnight_in_hong_kong(now: datetime, late: bool) -> None:
    caller = replace(CALLER, organisation_verified_at=now, authority_verified_at=now)
    subscription = replace(SUBSCRIPTION, paid_until=ENDS)
    verdict = judge(subscription, being_renewed=False, caller=caller, now=now, limits=LIMITS)
    assert verdict.renew_by == date(2026, 11, 15)
    assert verdict.late is late
    assert verdict.reason is None, "late is a warning, not a refusal"


# Prices


# The document

RENEWAL_ID = RenewalId(uuid.UUID(int=7))


def an_item(number: int, **changes: Any) -> Item:
    values: dict[str, Any] = {
        "id": ItemId(uuid.UUID(int=number)),
        "renewal_id": RENEWAL_ID,
        "position": number,
        "reference": f"E-{number}",
        "srn": f"{number:010d}",
        "product": Product.MULTI_DOMAIN,
        "server_names": ("b.example.hk", "a.example.hk"),
        "additional_servers": 0,
        "current_serial": "0a",
        "amount_minor": 375_000,
        "state": ItemState.PENDING,
    }
    return Item(**values | changes)


def write(**changes: Any) -> document.Document:
    values: dict[str, Any] = {
        "kind": RenewalKind.RENEWAL,
        "renewal_id": RENEWAL_ID,
        "reference": "R-ABCDEFGHIJ",
        "nonce": "00" * 16,
        "language": Language.TRADITIONAL_CHINESE,
        "now": NOW,
        "subscription": SUBSCRIPTION,
        "items": [an_item(1), an_item(2)],
    }
    return document.write(**values | changes)


def canonical(value: Any) -> str:
    """Return RFC 8785 for what our documents hold, reimplemented: members sorted by UTF-16, shortest escapes."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(each)}" for name, each in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(each) for each in value) + "]"
    assert isinstance(value, str) or type(value) is int
    return json.dumps(value, ensure_ascii=False)


def test_same_input_gives_the_same_bytes() -> None:
    assert write() == write()


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "01" * 16},
        {"now": NOW + timedelta(microseconds=1)},
        {"language": Language.ENGLISH},
        {"items": [an_item(2), an_item(1)]},
        {"items": [an_item(1), an_item(2, server_names=("a.example.hk", "b.example.hk"))]},
        {"subscription": replace(SUBSCRIPTION, ar_name="LEE")},
    ],
)
def test_other_input_gives_another_digest(changes: dict[str, Any]) -> None:
    assert write(**changes).sha256 != write().sha256


def test_document_is_canonical_and_its_digest_is_of_its_bytes() -> None:
    written = write()
    assert written.text == canonical(json.loads(written.text))
    assert written.sha256 == hashlib.sha256(written.text.encode()).hexdigest()


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_leaves_the_document_canonical(name: str) -> None:
    written = write(subscription=replace(SUBSCRIPTION, subscriber_name=name))
    content = json.loads(written.text)
    assert content["subscriber"]["name"] == name
    assert written.text == canonical(content)


def test_document_contains_the_agreement() -> None:
    content = json.loads(write().text)
    assert set(content) == {
        *("purpose", "renewal_id", "reference", "nonce", "language", "created_at", "subscriber"),
        *("authorised_representative", "items", "fee", "declarations", "terms"),
    }
    assert content["purpose"] == "hk.ecert.renewal-application.v1"
    assert content["created_at"] == "2026-11-23T04:00:00Z"
    assert content["subscriber"] == {"id": ME.subscriber_id, "name": ME.subscriber_name}
    assert content["authorised_representative"] == {"id": ME.id, "name": ME.name}
    assert content["fee"] == {"amount_minor": 750_000, "currency": "HKD"}
    assert content["items"][0]["server_names"] == ["b.example.hk", "a.example.hk"]
    assert content["terms"] == {"version": terms.CURRENT, "sha256": terms.find().sha256}
    assert len(content["declarations"]) == len(document.DECLARATIONS)
