"""The integrators' guide names what is there: operations, problems, numbers, reasons."""

import re
from pathlib import Path

from deploy.gateway.rules import (
    API_HOST,
    MAX_BODY_BYTES,
    MAX_HEADER_KIB,
    RARE_REQUESTS,
    REQUEST_SECONDS,
    REQUESTS_A_MINUTE,
    SIGN_IN_HOST,
)
from deploy.gateway.rules import PROBLEMS as GATEWAY
from services.application import api as application
from services.application.domain import DEADLINES, DOCUMENT_LIFE, RenewalState
from services.identity import api as identity
from services.identity.challenging import LIFETIME
from services.identity.cms import CLOCK_TOLERANCE, MAX_BYTES
from services.identity.refusals import TicketFault
from services.issuance import api as issuance
from services.issuance.pins.pins import MAX_ATTEMPTS
from services.payment import api as payment
from shared.security.tokens import DRAFT_TICKET_HEADER, TokenKind
from shared.web import problems
from shared.web.idempotency import KeyInUse, KeyMissing, KeyReused
from tests.contract.test_openapi import APIS, document

GUIDE = (Path(__file__).parents[2] / "docs" / "integrating.md").read_text("utf-8")


def test_guide_operations_exist_in_the_documents() -> None:
    known = {
        f"{method.upper()} {re.sub('{[^}]+}', '{}', path)}"
        for name in APIS
        for path, methods in document(name)["paths"].items()
        for method in methods
        if method in ("get", "post")
    }
    named = re.findall(r"`(GET|POST) (/(?:identity|application|payment|issuance)/v1/[^`?\s]+)`", GUIDE)
    assert len(named) > 12
    assert {f"{method} {re.sub('{[^}]+}', '{}', path)}" for method, path in named} <= known


def test_guide_problems_are_problems_of_a_service_or_the_gateway() -> None:
    tables = (application.PROBLEMS, identity.PROBLEMS, issuance.PROBLEMS, payment.PROBLEMS, problems.COMMON)
    known = {problem.slug for table in tables for problem in table.values()}
    known |= {problem.slug for problem in (problems.INVALID, problems.MALFORMED, problems.INTERNAL)}
    known |= {slug for slug, _ in GATEWAY.values()} | {KeyInUse.reason, KeyMissing.reason, KeyReused.reason}
    named = set(re.findall(r"(?:40[0-9]|422|500) `([a-z-]+)`", GUIDE))
    assert len(named) > 8
    assert named <= known
    assert {fault for fault in TicketFault if f"`{fault}`" not in GUIDE} == set()
    assert f"`{DRAFT_TICKET_HEADER}`" in GUIDE


def test_guide_numbers_are_the_codes() -> None:
    seconds = {kind: kind.lifetime.total_seconds() for kind in TokenKind if kind.lifetime is not None}
    assert seconds[TokenKind.ACCESS] == seconds[TokenKind.DRAFT_TICKET] == 15 * 60
    assert seconds[TokenKind.CHECKOUT] == LIFETIME.total_seconds() == 5 * 60
    assert CLOCK_TOLERANCE.total_seconds() == 10 * 60
    assert (MAX_BYTES, MAX_BODY_BYTES, MAX_HEADER_KIB) == (64 * 1024, 256 * 1024, 32)
    assert (DOCUMENT_LIFE.days, DEADLINES[RenewalState.AWAITING_PAYMENT].days, MAX_ATTEMPTS) == (1, 14, 5)
    assert (REQUESTS_A_MINUTE[API_HOST], REQUESTS_A_MINUTE[SIGN_IN_HOST], REQUEST_SECONDS) == (3000, 60, 30)
    assert (RARE_REQUESTS[API_HOST].burst, RARE_REQUESTS[API_HOST].interval_seconds) == (40, 1)
