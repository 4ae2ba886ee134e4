"""Texts of the portal for all that a service may answer to an AR: no page shows a slug."""

from collections.abc import Iterable, Iterator

import pytest

from deploy.gateway.rules import PROBLEMS as GATEWAY
from portal import domain_words, messages, refusals
from services.application import api as application
from services.application import eligibility
from services.application.domain import EndReason, ItemState, RenewalState
from services.application.timeline import TimelineEvent
from services.identity import api as identity
from services.identity.examining import Check
from services.identity.refusals import CertificateFault, SignatureFault
from services.issuance import api as issuance
from services.issuance.csr.csr import CSRFault
from services.issuance.csr.keys import KeyFault
from services.issuance.dcv.caa import CAAReason
from services.issuance.domain import OrderState
from services.payment import api as payment
from shared.pki.observations import Kind, Reason
from shared.validation.parsing_pool import TooCostly
from shared.vocabulary import Product
from shared.web import problems
from shared.web.https_client import APIProblem
from shared.web.idempotency import KeyInUse, KeyReused
from shared.web.problems import ProblemTable

# Only a program that is not the portal, or a broken one, gets these.
NEVER_SHOWN = {"redirect-uri-refused", "webhook-refused", "payment-conflict", "not-published"}
# What any service, its framework and the gateway say.
COMMON = {
    *(problems.UNAVAILABLE.slug, problems.INVALID.slug, problems.MALFORMED.slug, "refused"),
    *(GATEWAY[413][0], GATEWAY[429][0]),
    *(KeyInUse.reason, KeyReused.reason, TooCostly.reason),
}


def slugs(*tables: ProblemTable) -> Iterator[str]:
    for table in tables:
        yield from (problem.slug for problem in table.values())


def without_words(problems: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    found = ((slug, refusals.of(APIProblem(409, {"type": slug, "reason": reason}))) for slug, reason in problems)
    return [(slug, text) for slug, text in found if text == refusals.INTERNAL]


def test_every_problem_has_a_text() -> None:
    every = (
        set(slugs(application.PROBLEMS, identity.PROBLEMS, issuance.PROBLEMS, payment.PROBLEMS)) - NEVER_SHOWN | COMMON
    )
    assert without_words((slug, "") for slug in sorted(every)) == []


def test_every_reason_has_a_text() -> None:
    reasons = {
        "certificate-refused": CertificateFault,
        "signature-refused": SignatureFault,
        "csr-refused": CSRFault,
        "key-refused": KeyFault,
        "key-not-allowed": ("key-blocked", "key-used-before", "key-of-the-ca", "key-of-another-subscriber"),
        "not-eligible": eligibility.ADVICE,
    }
    assert without_words((slug, str(each)) for slug, finer in reasons.items() for each in finer) == []


@pytest.mark.parametrize(
    ("words", "slugs"),
    [
        (messages.STATES, RenewalState),
        (messages.ITEM_STATES, [*ItemState, *OrderState]),
        (messages.COURSE, TimelineEvent),
        (messages.PRODUCTS, Product),
        (messages.CHECKS, Check),
        (messages.STANDINGS, eligibility.ADVICE),
        (messages.ENDINGS, EndReason),
    ],
    ids=["renewal", "item", "course", "product", "check", "standing", "ending"],
)
def test_every_state_and_step_has_a_text_and_no_text_is_unused(words: dict[str, str], slugs: Iterable[str]) -> None:
    assert set(words) == {str(slug) for slug in slugs}


def test_every_reason_of_domain_control_has_a_text_and_no_text_is_unused() -> None:
    own = {"record-missing", "another-value", "not-corroborated", "value-expired", "not-proved", "not-checked"}
    silent = {f"perspective-{each}" for each in ("busy", "refused", "timed-out", "unavailable", "unreadable")}
    assert set(domain_words.REASONS) == own | silent | {"caa-forbids", *map(str, [*Reason, *CAAReason])}
    assert set(domain_words.PLACES) == {str(kind) for kind in Kind}
