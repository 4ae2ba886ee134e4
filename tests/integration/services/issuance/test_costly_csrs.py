"""A CSR that is made to keep a library busy holds up nobody else, and is refused."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient

from shared.validation.parsing_pool import Pool as ParsingPool
from tests.integration.services.issuance.world import Renewal, World
from tests.unit.services.issuance.csr.mersenne import private_key_pem
from tests.unit.shared.validation import parsed

URL = "/issuance/v1/csr-checks"
NAME = "www.example.hk"


@pytest.fixture
def client(world: World) -> Iterator[FlaskClient]:
    pool = ParsingPool(["services.issuance.csr.csr"])
    yield world.app(pool).test_client()
    pool.close()


def check(client: FlaskClient, headers: dict[str, str], text: str) -> tuple[int, dict[str, object]]:
    answer = client.post(URL, json={"csr": text, "server_names": [NAME]}, headers=headers)
    return answer.status_code, answer.get_json()


def authorised(world: World, renewal: Renewal) -> dict[str, str]:
    return {"Authorization": world.headers(renewal)["Authorization"]}


@pytest.mark.parametrize("exponents", [(4253, 4423), (9689, 9941)])
def test_costly_private_key_is_read_quickly(world: World, client: FlaskClient, exponents: tuple[int, int]) -> None:
    headers = authorised(world, world.opened([NAME]))
    check(client, headers, "so that the worker runs")

    begun = time.monotonic()
    status, answer = check(client, headers, private_key_pem(*exponents))
    assert time.monotonic() - begun < 1
    assert (status, answer["refusal"]) == (200, "private-key-pasted")
    assert world.rows("SELECT count(*) FROM blocked_keys") == [(0,)]


def test_full_parsing_pool_is_503(world: World) -> None:
    headers = authorised(world, world.opened([NAME]))
    pool = ParsingPool(["services.issuance.csr.csr"], workers=1, waiting=0)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(pool.run, parsed.sleep, 2.0)
        time.sleep(0.3)  # the slow call must be in its worker; a queue has no sign of that
        answer = (
            world.app(pool).test_client().post(URL, json={"csr": "anything", "server_names": [NAME]}, headers=headers)
        )
        assert (answer.status_code, answer.get_json()["type"]) == (503, "urn:ecert:problem:unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        slow.result(10)
    pool.close()
