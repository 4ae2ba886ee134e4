"""A slow parser delays the request that waits for it, and nothing else: no transaction is open meanwhile."""

import base64
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db import Pool
from shared.validation.parsing_pool import Parser
from tests.integration.services.identity.conftest import CHAN, attest, bearer, count, good, sign_in
from tests.integration.services.identity.test_audit import answer, ask
from tests.integration.services.identity.test_examining import result, show
from tests.unit.services.identity.cms_builder import sign

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")


class Watched:
    """A parser that does something in the middle of each call."""

    def __init__(self, parser: Parser, during: Callable[[], None]) -> None:
        self._parser, self._during = parser, during

    def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self._during()
        return self._parser.run(function, *args, **kwargs)


def watch(http: FlaskClient, during: Callable[[], None]) -> None:
    runtime = http.application.extensions["ecert"]
    deps = replace(runtime.deps, parser=Watched(runtime.deps.parser, during))
    http.application.extensions["ecert"] = replace(runtime, deps=deps)


def open_transactions(pool: Pool) -> int:
    """Return how many sessions are in a transaction, besides the one that asks."""
    with pool.connection() as conn:
        row = conn.execute(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"""
        ).fetchone()
    assert row is not None
    return int(row[0])


def attestation(http: FlaskClient) -> TestResponse:
    return attest(http, CHAN, good()[1], auth=bearer(http, CHAN))


def challenge_token(http: FlaskClient) -> TestResponse:
    challenge_id, document = ask(http)
    return answer(http, challenge_id, sign(CHAN, document=document))


def signature_test(http: FlaskClient) -> TestResponse:
    challenge_id, document = ask(http)
    signature = base64.b64encode(sign(CHAN, document=document)).decode()
    return http.post("/identity/v1/challenge-tests", json={"challenge_id": challenge_id, "signature": signature})


def certificate_test(http: FlaskClient) -> TestResponse:
    return result(http, show(http, CHAN)["code"])


@pytest.mark.parametrize(
    "make",
    [attestation, challenge_token, signature_test, certificate_test, lambda http: sign_in(http, CHAN)],
    ids=["attestation", "challenge-token", "challenge-test", "certificate-test", "sign-in"],
)
def test_no_transaction_waits_for_the_parser(
    http: FlaskClient, pool: Pool, make: Callable[[FlaskClient], TestResponse]
) -> None:
    found: list[int] = []
    watch(http, lambda: found.append(open_transactions(pool)))
    assert make(http).status_code in {200, 201}
    assert found
    assert {*found} == {0}


def test_two_attestations_with_one_key_are_one_although_the_parser_is_slow(http: FlaskClient, pool: Pool) -> None:
    auth, (_, body), key = bearer(http, CHAN), good(), uuid.uuid4().hex
    waiting, released = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        assert released.wait(30)

    watch(http, wait)
    answers: list[TestResponse] = []
    first = threading.Thread(target=lambda: answers.append(attest(http, CHAN, body, key=key, auth=auth)))
    first.start()
    assert waiting.wait(30)
    second = attest(http.application.test_client(), CHAN, body, key=key, auth=auth)
    released.set()
    first.join()
    assert (second.status_code, [each.status_code for each in answers]) == (409, [201])
    third = attest(http, CHAN, body, key=key, auth=auth)
    assert (third.status_code, third.json) == (201, answers[0].json)
    assert count(pool, "evidence") == 1
