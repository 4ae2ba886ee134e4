"""Draft, quote, document, submit: what is refused, why, and what the AR sees to do instead."""

import hashlib
import json
import threading
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug.test import TestResponse

from shared.events.application import RenewalSubmitted
from shared.security.tokens import TokenKind, sign
from shared.tx import transaction
from shared.vocabulary import ARId, SubscriberId
from tests.integration.services.application.world import MULTI, WILDCARD, WWW, World, body, unsigned
from tests.support.builders import AR, NOW, signing_key
from tests.support.problems import full_problem, problem, slug

OTHER_AR = AR(id=ARId("ar-wong"), name="WONG Siu Ming", certificate_sha256="c2" * 32)
STRANGER = AR(
    id=ARId("ar-lee"),
    subscriber_id=SubscriberId("sub-lion"),
    subscriber_name="Lion Rock Limited",
    certificate_sha256="c3" * 32,
)


def draft(world: World, *items: Any, ar: AR | None = None) -> TestResponse:
    return world.post("/renewals", {"items": [i if isinstance(i, dict) else {"srn": i} for i in items]}, ar=ar)


def test_list_shows_which_certificates_can_be_renewed(world: World) -> None:
    world.change_subscription(WILDCARD, standing="suspended")
    under_way = world.submitted(MULTI)
    shown = {s["srn"]: s for s in body(world.get("/subscriptions"))}
    assert {srn: s["renewal_id"] for srn, s in shown.items()} == {WWW: None, WILDCARD: None, MULTI: str(under_way.id)}
    assert {srn: s["reason"] for srn, s in shown.items()} == {
        WWW: None,
        WILDCARD: "suspended",
        MULTI: "being-renewed",
    }
    assert shown[WWW]["advice"] is None
    assert "suspension" in shown[WILDCARD]["advice"]
    assert (shown[WWW]["renew_by"], shown[WWW]["late"]) == ("2026-12-07", False)
    assert (shown[WWW]["paid_from"], shown[WWW]["paid_until"]) == ("2026-01-08", "2027-01-07")
    assert shown[WWW]["opens_on"] == "2026-10-09"


def test_certificate_that_ended_within_the_paid_period_is_renewed_like_any_other(world: World) -> None:
    world.change_subscription(WWW, not_after=NOW - timedelta(days=3))
    renewal = world.submitted(WWW)
    assert world.state(renewal) == "awaiting-payment"


def test_list_shows_the_key_of_the_current_certificate(world: World) -> None:
    ((text,),) = world.rows("SELECT certificate FROM subscriptions WHERE srn = %s", WWW)
    key = x509.load_pem_x509_certificate(text.encode()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    shown = {s["srn"]: s["key_sha256"] for s in body(world.get("/subscriptions"))}
    assert shown[WWW] == hashlib.sha256(spki).hexdigest()


def test_list_shows_only_the_callers_subscriptions(world: World) -> None:
    assert body(world.get("/subscriptions", ar=STRANGER)) == []


def test_draft_has_a_quote_and_a_document_with_its_digest(world: World) -> None:
    answer = body(draft(world, WWW, {"srn": WILDCARD, "additional_servers": 3}, MULTI))
    amounts = {item["srn"]: item["amount_minor"] for item in answer["items"]}
    assert amounts == {WWW: 250_000, WILDCARD: 826_500 + 3 * 47_500, MULTI: 250_000 + 125_000}
    assert answer["amount_minor"] == sum(amounts.values())
    assert answer["submit_before"] == (NOW + timedelta(days=1)).isoformat()
    raw = world.get(f"/renewals/{answer['id']}/document")
    assert raw.content_type == "application/json"
    assert hashlib.sha256(raw.data).hexdigest() == answer["document_sha256"]
    document = json.loads(raw.data)
    assert [item["srn"] for item in document["items"]] == [item["srn"] for item in answer["items"]]
    assert document["fee"] == {
        "amount_minor": answer["amount_minor"],
        "currency": "HKD",
        "price_version": "2020-01-01",
    }


def test_draft_keeps_todays_number_of_additional_servers(world: World) -> None:
    (item,) = body(draft(world, WILDCARD))["items"]
    assert (item["additional_servers"], item["amount_minor"]) == (1, 826_500 + 47_500)


def test_additional_servers_cannot_be_added_where_they_are_not_sold(world: World) -> None:
    answer = draft(world, {"srn": WWW, "additional_servers": 1})
    assert problem(answer) == (409, "no-additional-servers")


REFUSALS: list[tuple[str, dict[str, object], str]] = [
    ("ar-changed", {"ar_id": "ar-wong"}, "post office"),
    ("expired", {"paid_until": date(2026, 11, 22)}, "post office"),
    ("suspended", {"standing": "suspended"}, "lift the suspension"),
    ("revoked", {"standing": "revoked"}, "Have another one issued"),
    ("names-not-certifiable", {"server_names": ["*.com.hk"]}, "post office"),
    ("record-unusable", {"subscriber_name": "N/A"}, "Ask the CA"),
    ("unknown", {"subscriber_id": "sub-other"}, "no subscription"),
]


@pytest.mark.parametrize(("reason", "changes", "advice"), REFUSALS)
def test_ineligible_subscription_cannot_be_drafted(
    world: World, reason: str, changes: dict[str, object], advice: str
) -> None:
    world.change_subscription(WILDCARD, **changes)
    answer = draft(world, WWW, WILDCARD)
    refused = body(answer)
    assert problem(answer) == (409, "not-eligible")
    assert (refused["srn"], refused["reason"]) == (WILDCARD, reason)
    assert advice in refused["advice"]
    assert refused["detail"] == f"{WILDCARD}: {refused['advice']}"
    assert body(world.get("/renewals")) == []


@pytest.mark.parametrize(("reason", "changes", "advice"), REFUSALS)
def test_draft_of_a_no_longer_eligible_subscription_cannot_be_submitted(
    world: World, reason: str, changes: dict[str, object], advice: str
) -> None:
    renewal = world.draft(WWW, WILDCARD)
    world.change_subscription(WILDCARD, **changes)
    answer = world.submit(renewal)
    assert full_problem(answer) == (409, "not-eligible", reason)
    assert advice in body(answer)["advice"]
    assert world.state(renewal) == "draft"
    assert world.announced(renewal.id) == []


def test_subscription_under_renewal_is_neither_drafted_nor_submitted_again(world: World) -> None:
    early = world.draft(WWW)
    world.submitted(WWW)
    for answer in (draft(world, WWW), world.submit(early)):
        assert full_problem(answer) == (409, "not-eligible", "being-renewed")


def test_year_that_was_just_bought_cannot_be_paid_for_again(world: World) -> None:
    early = world.draft(WWW)
    renewed = world.paid(WWW)
    world.apply(world.issued(renewed))
    for answer in (world.submit(early), draft(world, WWW)):
        assert problem(answer) == (409, "too-early")
        assert (body(answer)["srn"], body(answer)["opens_on"]) == (WWW, "2027-10-09")


def test_draft_for_another_year_than_the_next_is_out_of_date(world: World) -> None:
    renewal = world.draft(WWW)
    assert (renewal.items[0]["paid_from"], renewal.items[0]["paid_until"]) == ("2027-01-08", "2028-01-07")
    world.change_subscription(WWW, paid_until=date(2027, 1, 8))
    assert problem(world.submit(renewal)) == (409, "document-too-old")


@pytest.mark.parametrize("changes", [{"server_names": ["new.harbourlights.example.hk"]}, {"product": "multi-domain"}])
def test_draft_of_a_changed_subscription_is_out_of_date(world: World, changes: dict[str, object]) -> None:
    renewal = world.draft(WWW)
    world.change_subscription(WWW, **changes)
    assert slug(world.submit(renewal)) == "document-too-old"


def test_document_is_out_of_date_after_a_day(world: World) -> None:
    renewal = world.draft()
    world.now += timedelta(days=1) - timedelta(seconds=1)
    attestation = world.ar.attestation(renewal.id, renewal.document, world.now)
    world.now += timedelta(seconds=1)
    assert slug(world.submit(renewal, attestation=attestation)) == "document-too-old"
    world.now -= timedelta(seconds=1)
    assert world.submit(renewal, attestation=attestation).status_code == 200


# Attestations


def test_attestation_of_another_renewal_is_refused(world: World) -> None:
    renewal, other = world.draft(WWW), world.draft(WILDCARD)
    replayed = world.ar.attestation(other.id, other.document)
    assert slug(world.submit(renewal, attestation=replayed)) == "wrong-attestation"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "ar-wong"},
        {"document_sha256": "00" * 32},
        {"certificate_sha256": "00" * 32},
        {"subscriber": {"id": "sub-other"}},
        {"subscriber": "sub-harbour"},
        {"subscriber": None},
        {"sub": ""},
    ],
)
def test_attestation_with_other_claims_is_refused(world: World, claims: dict[str, Any]) -> None:
    renewal = world.draft()
    foreign = world.ar.attestation(renewal.id, renewal.document, **claims)
    answer = world.submit(renewal, attestation=foreign)
    assert problem(answer) == (409, "wrong-attestation")
    assert world.state(renewal) == "draft"


FORGERIES: dict[str, Callable[[World, str], str]] = {
    "garbage": lambda world, good: "garbage",
    "another signature": lambda world, good: unsigned(good),
    "an access token": lambda world, good: world.ar.access_token(),
    "no signature": lambda world, good: ".".join([*good.split(".")[:2], ""]),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_attestation_is_refused_and_the_ar_stays_signed_in(world: World, forgery: str) -> None:
    renewal = world.draft()
    forged = FORGERIES[forgery](world, world.ar.attestation(renewal.id, renewal.document))
    answer = world.submit(renewal, attestation=forged)
    assert problem(answer) == (409, "wrong-attestation")


def test_attestation_by_a_stranger_key_is_refused(world: World) -> None:
    renewal = world.draft()
    forged = world.ar.attestation(renewal.id, renewal.document, key="stranger")
    assert slug(world.submit(renewal, attestation=forged)) == "wrong-attestation"


def test_another_ar_of_the_subscriber_cannot_submit_the_draft(world: World) -> None:
    renewal = world.draft()
    world.change_subscription(WWW, ar_id=OTHER_AR.id)
    assert slug(world.submit(renewal, ar=OTHER_AR)) == "wrong-attestation"


# Lost answers, repeats, races


def test_repeated_submission_gets_the_same_answer(world: World) -> None:
    renewal = world.draft()
    attestation = world.ar.attestation(renewal.id, renewal.document)
    first = world.submit(renewal, attestation=attestation, key="the-same-key")
    world.apply(world.captured(renewal))
    world.now += timedelta(hours=2)
    again = world.submit(renewal, attestation=attestation, key="the-same-key")
    assert (again.status_code, again.data) == (200, first.data)
    assert len(world.announced(renewal.id, RenewalSubmitted)) == 1


def test_same_key_with_another_attestation_is_refused(world: World) -> None:
    renewal = world.draft()
    assert world.submit(renewal, key="the-same-key").status_code == 200
    again = world.submit(renewal, key="the-same-key")
    assert problem(again) == (422, "idempotency-key-reused")


def test_submitting_again_with_another_key_is_refused_with_the_state(world: World) -> None:
    renewal = world.submitted()
    answer = world.submit(renewal)
    assert problem(answer) == (409, "not-in-this-state")
    assert body(answer)["state"] == "awaiting-payment"


def in_parallel(*calls: Callable[[], TestResponse]) -> list[TestResponse]:
    start = threading.Barrier(len(calls))
    answers: list[TestResponse] = []

    def run(call: Callable[[], TestResponse]) -> None:
        start.wait(10)
        answers.append(call())

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def twin(world: World, number: int) -> World:
    """Return the same service seen by another client."""
    return World(pool=world.pool, now=world.now, keys_used=1000 * number)


def test_only_one_of_two_concurrent_submissions_of_a_subscription_succeeds(world: World) -> None:
    drafts = [world.draft(WWW, WILDCARD), world.draft(WILDCARD, MULTI)]
    twins = [twin(world, 1), twin(world, 2)]
    answers = in_parallel(
        *[
            lambda client=client, renewal=renewal: client.submit(renewal)
            for client, renewal in zip(twins, drafts, strict=True)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (loser,) = [answer for answer in answers if answer.status_code == 409]
    assert (body(loser)["reason"], body(loser)["srn"]) == ("being-renewed", WILDCARD)
    assert len(world.rows("SELECT 1 FROM outbox")) == 1


def test_many_submissions_of_overlapping_subscriptions_never_deadlock(world: World) -> None:
    orders = [(WWW, MULTI), (MULTI, WWW), (WILDCARD, WWW), (MULTI, WILDCARD), (WWW, WILDCARD, MULTI), (MULTI, WILDCARD)]
    drafts = [world.draft(*srns) for srns in orders]
    twins = [twin(world, number) for number in range(1, len(drafts) + 1)]
    answers = in_parallel(
        *[
            lambda client=client, renewal=renewal: client.submit(renewal)
            for client, renewal in zip(twins, drafts, strict=True)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]


def test_submission_waits_for_a_running_import_and_uses_its_result(world: World) -> None:
    renewal = world.draft(WWW, WILDCARD)
    answers: list[TestResponse] = []
    submitting = threading.Thread(target=lambda: answers.append(world.submit(renewal)), daemon=True)
    with transaction(world.pool) as tx:
        tx.conn.execute("UPDATE subscriptions SET ar_id = 'ar-new' WHERE srn = %s", (WILDCARD,))
        submitting.start()
        submitting.join(0.5)
        assert submitting.is_alive(), "it waits for the row"
    submitting.join(30)
    assert [body(answer)["reason"] for answer in answers] == ["ar-changed"]


def test_concurrent_submissions_of_one_draft_submit_it_once(world: World) -> None:
    renewal = world.draft()
    first, second = twin(world, 1), twin(world, 2)
    answers = in_parallel(lambda: first.submit(renewal), lambda: second.submit(renewal))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(world.announced(renewal.id, RenewalSubmitted)) == 1


# Other people's


def test_renewals_of_other_subscribers_are_404(world: World) -> None:
    renewal = world.draft()
    attestation = STRANGER.attestation(renewal.id, renewal.document)
    answers = [
        world.get(f"/renewals/{renewal.id}", ar=STRANGER),
        world.get(f"/renewals/{renewal.id}/document", ar=STRANGER),
        world.submit(renewal, ar=STRANGER, attestation=attestation),
        world.cancel(renewal, ar=STRANGER),
        world.get(f"/renewals/{uuid.uuid4()}"),
    ]
    assert [problem(answer) for answer in answers] == [(404, "renewal-not-found")] * 5
    assert body(world.get("/renewals", ar=STRANGER)) == []


def test_subscriptions_of_other_subscribers_are_not_found(world: World) -> None:
    answer = draft(world, WWW, ar=STRANGER)
    assert (slug(answer), body(answer)["reason"]) == ("not-eligible", "unknown")
    ghost = draft(world, "9999999999", ar=STRANGER)
    assert {**body(ghost), "srn": WWW, "detail": body(answer)["detail"], "request_id": body(answer)["request_id"]} == (
        body(answer)
    )


# Who calls


def other_token(kind: TokenKind) -> str:
    return sign({"sub": "ar-chan"}, kind=kind, key=signing_key("identity"), now=NOW, issuer="identity")


TOKENS: dict[str, Callable[[], str]] = {
    "none": lambda: "",
    "an empty one": lambda: "Bearer",
    "no JWT": lambda: "Bearer x.y.z",
    "a password": lambda: "Basic YTpi",
    "an expired one": lambda: f"Bearer {AR().access_token(NOW - timedelta(minutes=15))}",
    "one of the future": lambda: f"Bearer {AR().access_token(NOW + timedelta(minutes=2))}",
    "another role's": lambda: f"Bearer {AR().access_token(role='operator')}",
    "another signature": lambda: f"Bearer {unsigned(AR().access_token())}",
    "another kind": lambda: f"Bearer {other_token(TokenKind.CHECKOUT)}",
    "claims missing": lambda: f"Bearer {other_token(TokenKind.ACCESS)}",
}


@pytest.mark.parametrize("what", TOKENS)
def test_invalid_token_is_401_without_details(world: World, what: str) -> None:
    token, renewal = TOKENS[what](), world.draft()
    paths = ["/subscriptions", "/renewals"]
    paths += [f"/renewals/{each}{what}" for each in (renewal.id, uuid.uuid4()) for what in ("", "/document")]
    headers = {"Authorization": token, "Idempotency-Key": "some-good-key"}
    answers = [world.http.get(f"/application/v1{path}", headers=headers) for path in paths]
    answers.append(world.http.post("/application/v1/renewals", headers=headers, json={"items": [{"srn": WWW}]}))
    assert {answer.status_code for answer in answers} == {401}
    assert {slug(answer) for answer in answers} <= {"unauthenticated", "token-refused"}
