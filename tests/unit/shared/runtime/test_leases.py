"""A lease outlasts the calls made under it, and each process asserts that when it starts."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from services.identity import crl_sources
from services.identity import work as identity
from services.issuance import certificate_issuance
from services.issuance.ca import pkcs11_signer
from services.mailing import print_work
from services.payment import provider_adapter
from services.payment import work as payment
from shared.runtime.task_loop import SETTLE, LeaseTooShort, require_lease

SERVICES = Path(__file__).parents[4] / "services"


@pytest.mark.parametrize(
    ("lease", "calls"),
    [
        pytest.param(
            payment.LEASE, timedelta(seconds=payment.CALLS * provider_adapter.CALL_TIMEOUT_SECONDS), id="payment"
        ),
        pytest.param(identity.LEASE, crl_sources.MAX_CALL_TIME, id="identity"),
        pytest.param(certificate_issuance.LEASE, pkcs11_signer.MAX_SIGNING_TIME, id="issuance"),
        pytest.param(print_work.LEASE, timedelta(0), id="print"),
    ],
)
def test_lease_outlasts_its_calls_and_the_settling(lease: timedelta, calls: timedelta) -> None:
    require_lease("task", lease, calls=calls)


def test_lease_that_ends_with_the_last_call_is_refused() -> None:
    calls = timedelta(seconds=40)
    require_lease("task", calls + SETTLE, calls=calls)
    with pytest.raises(LeaseTooShort, match="capture"):
        require_lease("capture", calls + SETTLE - timedelta(seconds=1), calls=calls)


def test_every_service_that_calls_others_under_a_lease_asserts_it_at_start() -> None:
    asserting = {
        path.parent.name
        for path in SERVICES.glob("*/*main.py")
        if any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require_lease" for node in _nodes(path))
    }
    assert asserting == {"identity", "payment", "mailing", "issuance"}, "application calls nobody"


def _nodes(path: Path) -> list[ast.AST]:
    return [*ast.walk(ast.parse(path.read_text()))]
