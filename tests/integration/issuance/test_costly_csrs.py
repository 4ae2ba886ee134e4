"""A CSR that is made to keep a library busy holds up nobody else, and is refused."""

import threading
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from shared.parsing import Pool as ParsingPool
from tests.integration.issuance.world import Renewal, World
from tests.unit.pki.csrs import as_pem, csr_der
from tests.unit.pki.mersenne import private_key_pem

URL = "/issuance/v1/csr-checks"
NAME = "www.example.hk"


@pytest.fixture
def client(world: World) -> Iterator[FlaskClient]:
    pool = ParsingPool(["shared.pki.csr"])
    yield world.app(pool).test_client()
    pool.close()


def check(client: FlaskClient, headers: dict[str, str], text: str) -> tuple[int, dict[str, object]]:
    answer = client.post(URL, json={"csr": text, "server_names": [NAME]}, headers=headers)
    return answer.status_code, answer.get_json()


def authorised(world: World, renewal: Renewal) -> dict[str, str]:
    return {"Authorization": world.headers(renewal)["Authorization"]}


def test_a_costly_private_key_stops_nobody_and_is_refused(world: World, client: FlaskClient) -> None:
    headers = authorised(world, world.opened([NAME]))
    answers: list[tuple[int, dict[str, object]]] = []
    slow = threading.Thread(
        target=lambda: answers.append(check(client.application.test_client(), headers, private_key_pem(4253, 4423)))
    )
    slow.start()
    time.sleep(0.3)

    begun = time.monotonic()
    status, answer = check(client, headers, as_pem(csr_der(names=[NAME])))
    assert (status, answer["refusal"]) == (200, None)
    assert time.monotonic() - begun < 2

    slow.join(timeout=30)
    assert [(status, answer["refusal"]) for status, answer in answers] == [(200, "too-costly-to-read")]
    assert world.rows("SELECT count(*) FROM blocked_keys") == [(0,)]


def test_a_full_pool_says_to_come_back(world: World) -> None:
    headers = authorised(world, world.opened([NAME]))
    pool = ParsingPool(["shared.pki.csr"], workers=1, waiting=0)
    app = world.app(pool)
    costly = private_key_pem(4253, 4423)
    slow = threading.Thread(target=lambda: check(app.test_client(), headers, costly))
    slow.start()
    time.sleep(0.3)

    answer = app.test_client().post(URL, json={"csr": "anything", "server_names": [NAME]}, headers=headers)
    assert (answer.status_code, answer.get_json()["type"]) == (503, "urn:ecert:problem:unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    slow.join(timeout=30)
    pool.close()
