"""Draft tickets: given with the document of a draft that can still be submitted."""

import hashlib
from datetime import timedelta

import pytest

from shared.security.tokens import KeySet, TokenKind, TokenRefused, verify
from tests.integration.services.application.world import WWW, Renewal, World, body
from tests.support.builders import AR

HEADER = "Draft-Ticket"


def given(world: World, renewal: Renewal, ar: AR | None = None) -> str | None:
    answer = world.get(f"/renewals/{renewal.id}/document", ar=ar)
    assert answer.status_code == 200
    assert answer.data == renewal.document
    return answer.headers.get(HEADER)


def test_drafts_document_comes_with_a_ticket_that_the_published_keys_verify(world: World) -> None:
    renewal = world.draft(WWW)
    ticket = given(world, renewal)
    assert ticket is not None

    keys = KeySet.parse(body(world.get("/jwks")))
    claims = verify(ticket, kind=TokenKind.DRAFT_TICKET, keys=keys, now=world.now, issuer="application")
    assert {name: claims[name] for name in ("sub", "subscriber_id", "renewal_id", "document_sha256")} == {
        "sub": world.ar.id,
        "subscriber_id": world.ar.subscriber_id,
        "renewal_id": str(renewal.id),
        "document_sha256": hashlib.sha256(renewal.document).hexdigest(),
    }
    later = world.now + timedelta(minutes=15)
    with pytest.raises(TokenRefused):
        verify(ticket, kind=TokenKind.DRAFT_TICKET, keys=keys, now=later, issuer="application")


def test_draft_ticket_is_no_access_token(world: World) -> None:
    ticket = given(world, world.draft(WWW))
    answer = world.http.get("/application/v1/renewals", headers={"Authorization": f"Bearer {ticket}"})
    assert answer.status_code == 401


def test_document_that_can_no_longer_be_submitted_has_no_ticket(world: World) -> None:
    submitted = world.submitted(WWW)
    assert given(world, submitted) is None


def test_expired_draft_has_no_ticket(world: World) -> None:
    renewal = world.draft(WWW)
    world.now += timedelta(days=1)
    assert given(world, renewal) is None
