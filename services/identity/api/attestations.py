"""Attestations: the signature over an application, verified and attested."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar, cast

import flask

from services.identity import attesting
from services.identity.api.blueprint import blp, deps, judges_certificate
from services.identity.attesting import Attest, Keys
from services.identity.refusals import (
    DocumentRefused,
    NonceSpent,
    OfficeEnded,
    OtherCertificate,
    RecordUnusable,
    SignatureRefused,
    TicketRefused,
)
from services.identity.schemas import AttestationRequestSchema, AttestationSchema
from services.identity.store import Evidence
from shared.errors import Refused
from shared.pki.crls import RevocationUnknown
from shared.security.tokens import DRAFT_TICKET_HEADER
from shared.web import commands, openapi, request
from shared.web.openapi import refuses, signed_in

View = TypeVar("View", bound=Callable[..., Any])


def _audit_refused_attestation(view: View) -> View:
    """Decorate a view to audit refused attestations in a transaction of their own: the refused one is rolled back."""

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return view(*args, **kwargs)
        except (Refused, RevocationUnknown) as refused:
            command: Attest | None = flask.g.get("attesting")
            if command is not None:  # refused before the command was parsed
                with request.transaction() as tx:
                    attesting.record_refusal(tx, command, request.caller(), refused.reason)
            raise

    return cast(View, run)


@blp.post("/attestations")
@signed_in
@judges_certificate
@refuses(DocumentRefused, TicketRefused, SignatureRefused, OtherCertificate, OfficeEnded, NonceSpent, RecordUnusable)
@openapi.takes_header(DRAFT_TICKET_HEADER, "As application gave it with the document; within 15 minutes")
@_audit_refused_attestation
@commands.in_several_transactions
@blp.arguments(AttestationRequestSchema)
@blp.response(201, AttestationSchema)
def create_attestation(command: Attest) -> Evidence:
    """Verify and attest the signature over an application."""
    # Not in the body: with a fresh ticket the same key and body must get the same answer.
    command = replace(command, ticket=flask.request.headers.get(DRAFT_TICKET_HEADER))
    flask.g.attesting = command
    keys = Keys(signing=deps().key, application=deps().application_keys)
    return attesting.attest(
        request.transaction, command, request.caller(), trust=deps().trust, keys=keys, parser=deps().parser
    )
