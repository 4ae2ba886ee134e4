"""Draft tickets: a signature is attested for the draft that application made for this AR, and for nothing else."""

import base64
import json
import uuid
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from shared.db import Pool
from shared.security.tokens import TokenKind, sign
from shared.vocabulary import ARId, RenewalId, SubscriberId
from tests.integration.services.identity.conftest import (
    CHAN,
    WONG,
    Application,
    Clock,
    attest,
    bearer,
    count,
    good,
    request_body,
    signed_by,
)
from tests.support.builders import AR, signing_key
from tests.support.problems import full_problem
from tests.unit.services.identity.builders import NOW
from tests.unit.services.identity.cms_builder import sign as sign_cms

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")

CHAN_AR = AR(id=ARId("chan"), subscriber_id=SubscriberId("example"))
OTHER = AR(id=ARId("lee"), subscriber_id=SubscriberId("other"))
OTHERS_RENEWAL = RenewalId(uuid.uuid4())


def tickets(body: dict[str, str]) -> dict[str, tuple[str | None, str]]:
    document = base64.b64decode(body["document"])
    renewal = RenewalId(uuid.UUID(body["renewal_id"]))
    claims = {"sub": "chan", "subscriber_id": "example", "renewal_id": str(renewal), "document_sha256": "00" * 32}
    access = sign(claims, kind=TokenKind.ACCESS, key=signing_key("application"), now=NOW, issuer="application")
    issuer = sign(claims, kind=TokenKind.DRAFT_TICKET, key=signing_key("application"), now=NOW, issuer="identity")
    return {
        "none": (None, "ticket-missing"),
        "no token": ("ticket", "ticket-invalid"),
        "a stranger's key": (CHAN_AR.ticket(renewal, document, NOW, key="payment"), "ticket-invalid"),
        "another kind of token": (access, "ticket-invalid"),
        "another issuer": (issuer, "ticket-invalid"),
        "expired": (CHAN_AR.ticket(renewal, document, NOW - timedelta(minutes=15)), "ticket-expired"),
        "another AR's": (OTHER.ticket(renewal, document, NOW), "ticket-of-another-representative"),
        "another renewal's": (CHAN_AR.ticket(OTHERS_RENEWAL, document, NOW), "ticket-of-another-renewal"),
        "another document's": (CHAN_AR.ticket(renewal, document + b" ", NOW), "ticket-of-another-document"),
    }


@pytest.mark.parametrize("what", tickets(good()[1]))
def test_attestation_without_the_drafts_own_ticket_is_refused(http: FlaskClient, pool: Pool, what: str) -> None:
    _, body = good()
    ticket, reason = tickets(body)[what]

    assert full_problem(attest(http, CHAN, body, ticket=ticket)) == (422, "ticket-refused", reason)
    assert count(pool, "outbox") == count(pool, "evidence") == 0


def test_attestation_for_another_subscribers_renewal_is_refused(http: FlaskClient, pool: Pool) -> None:
    """An AR signs a document of their own that names somebody else's renewal, whose ticket they cannot have."""
    application = Application(renewal_id=str(OTHERS_RENEWAL))
    body = request_body(application, signed_by(CHAN, application))
    theirs = OTHER.ticket(OTHERS_RENEWAL, application.document, NOW)
    mine = CHAN_AR.ticket(RenewalId(uuid.uuid4()), application.document, NOW)

    for ticket in (None, theirs, mine):
        assert full_problem(attest(http, CHAN, body, ticket=ticket))[:2] == (422, "ticket-refused")
    assert count(pool, "outbox") == 0


def test_attestation_of_a_reserialised_document_is_refused_and_uses_nothing_up(http: FlaskClient) -> None:
    application, body = good()
    written = json.dumps(json.loads(application.document), indent=1).encode()
    spaced = body | {
        "document": base64.b64encode(written).decode(),
        "signature": base64.b64encode(sign_cms(CHAN, document=written)).decode(),
    }
    ticket = CHAN_AR.ticket(RenewalId(uuid.UUID(application.renewal_id)), application.document, NOW)

    assert full_problem(attest(http, CHAN, spaced, ticket=ticket)) == (
        422,
        "ticket-refused",
        "ticket-of-another-document",
    )
    assert attest(http, CHAN, body, ticket=ticket).status_code == 201


def test_repeated_request_gets_the_same_answer_without_a_valid_ticket(http: FlaskClient, clock: Clock) -> None:
    _, body = good()
    auth = bearer(http, CHAN)
    first = attest(http, CHAN, body, key="the-first-key", auth=auth)
    assert first.status_code == 201
    clock.now = NOW + timedelta(minutes=5)

    same_key = attest(http, CHAN, body, key="the-first-key", auth=auth)
    other_key = attest(http, CHAN, body, key="another-key", auth=auth, ticket=None)
    assert same_key.json == other_key.json == first.json


def test_another_ars_ticket_for_a_draft_of_the_same_subscriber_is_refused(http: FlaskClient) -> None:
    application = Application(ar_id="wong")
    body = request_body(application, signed_by(WONG, application))
    ticket = CHAN_AR.ticket(RenewalId(uuid.UUID(application.renewal_id)), application.document, NOW)

    assert full_problem(attest(http, WONG, body, ticket=ticket)) == (
        422,
        "ticket-refused",
        "ticket-of-another-representative",
    )
