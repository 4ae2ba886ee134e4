"""Requests that cost far more than others, counted by the real Envoy for each access token."""

import time
from collections.abc import Iterator

import pytest

from deploy.gateway.rules import API_HOST, RARE_REQUESTS
from deploy.local import pki as local_pki
from tests.integration.deploy.local.echo import Client
from tests.integration.deploy.local.gateway import gateway_with

CHECK = "/issuance/v1/domains/www.harbourlights.example.hk/checks"
RARE = RARE_REQUESTS[API_HOST]
PORTAL_POD = "192.0.2.7"


@pytest.fixture(scope="module")
def limited(pki: local_pki.PKI) -> Iterator[Client]:
    """A gateway that counts, behind a proxy that names its clients."""
    with gateway_with(pki, ["issuance"], limits_rates=True, trusted_hops=1) as made:
        yield made


def ask(
    limited: Client, token: str | None, path: str = CHECK, *, method: str = "POST", address: str = PORTAL_POD
) -> int:
    authorization = {} if token is None else {"authorization": f"Bearer {token}"}
    return limited.ask(API_HOST, path, method=method, headers={"x-forwarded-for": address, **authorization}).status


def exhausted(limited: Client, token: str) -> str:
    """Return the token, of which the burst is used up and one request was refused."""
    # The bucket is filled a little meanwhile; a query makes no other path.
    statuses = [ask(limited, token, f"{CHECK}?a=b") for _ in range(RARE.burst * 3 // 2)]
    assert set(statuses[: RARE.burst]) == {200}
    assert statuses[-1] == 429
    return token


def test_token_is_refused_after_a_burst_and_allowed_again_later(limited: Client) -> None:
    token = exhausted(limited, "a")
    assert ask(limited, token, address="192.0.2.8") == 429
    time.sleep(RARE.interval_seconds + 0.5)  # the gateway's bucket fills by its own clock
    assert ask(limited, token) == 200


def test_users_of_one_portal_pod_do_not_use_up_each_others_checks(limited: Client) -> None:
    exhausted(limited, "greedy")
    assert {ask(limited, f"user-{number}") for number in range(30)} == {200}


def test_token_without_checks_left_still_reads_and_begins_domains(limited: Client) -> None:
    token = exhausted(limited, "b")
    assert ask(limited, token, method="GET") == 200
    assert ask(limited, token, "/issuance/v1/domains") == 200


def test_request_without_a_token_is_left_to_issuance_which_refuses_it(limited: Client) -> None:
    assert {ask(limited, None) for _ in range(RARE.burst * 3 // 2)} == {200}
