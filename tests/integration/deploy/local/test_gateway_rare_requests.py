"""Requests that cost far more than others, counted by the real Envoy for each client."""

import re
import time
from collections.abc import Iterator

import pytest

from deploy.gateway.rules import API_HOST, PORTAL_HOST, RARE_REQUESTS
from deploy.local import pki as local_pki
from portal.languages import LANGUAGES
from tests.integration.deploy.local.echo import Answer, Client
from tests.integration.deploy.local.gateway import gateway_with

CHECK = "/issuance/v1/domains/www.harbourlights.example.hk/checks"
FORM = "/zh-hant/text/renewals/3f1f1d0e-6a0b-4a39-9a3b-0e5f4c2f7a10/domains"


@pytest.fixture(scope="module")
def limited(pki: local_pki.PKI) -> Iterator[Client]:
    """A gateway that counts, behind a proxy that names its clients."""
    with gateway_with(pki, ["issuance", "portal"], limits_rates=True, trusted_hops=1) as made:
        yield made


def send(limited: Client, host: str, path: str, address: str, method: str = "POST") -> Answer:
    return limited.ask(host, path, method=method, headers={"x-forwarded-for": address})


@pytest.mark.parametrize(("host", "path"), [(API_HOST, CHECK), (PORTAL_HOST, FORM)])
def test_rare_request_is_refused_after_a_burst_and_allowed_again_later(limited: Client, host: str, path: str) -> None:
    rare = RARE_REQUESTS[host]
    statuses = [send(limited, host, path, "192.0.2.7").status for _ in range(rare.burst)]
    assert set(statuses) == {200}
    # The bucket is filled a little meanwhile; a query makes no other path.
    more = [send(limited, host, f"{path}?a=b", "192.0.2.7").status for _ in range(rare.burst // 2)]
    assert more[-1] == 429
    assert send(limited, host, path, "192.0.2.8").status == 200
    assert send(limited, host, path, "192.0.2.7", method="GET").status == 200
    assert send(limited, host, "/issuance/v1/domains", "192.0.2.7").status in (200, 404)
    time.sleep(rare.interval_seconds + 0.5)  # the gateway's bucket fills by its own clock
    assert send(limited, host, path, "192.0.2.7").status == 200


def test_rare_forms_are_those_of_every_language() -> None:
    pattern = re.compile(RARE_REQUESTS[PORTAL_HOST].path)
    for language in LANGUAGES:
        for mode in ("", "/text"):
            assert pattern.fullmatch(f"/{language.path}{mode}/renewals/3f1f1d0e-6a0b-4a39-9a3b-0e5f4c2f7a10/domains")
