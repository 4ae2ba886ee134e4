"""Which failure becomes which problem."""

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from shared.errors import Refused, Unavailable, Undecodable
from shared.runtime.migrate import NotMigrated
from shared.web import commands, problems
from shared.web.auth import Unauthenticated
from shared.web.problems import Problem, ProblemTable


class Own(Refused):
    """A service's refusal."""


class Narrower(Own):
    """A kind of it."""


TABLE: ProblemTable = {Own: Problem(HTTPStatus.CONFLICT, "own", "Own")}


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (Own(), "own"),
        (Narrower(), "own"),
        (Undecodable(), "refused"),
        (Unavailable(), "unavailable"),
        (NotMigrated(), "unavailable"),
        (Unauthenticated(), "token-refused"),
    ],
)
def test_nearest_class_decides_and_the_services_table_has_priority(error: Exception, slug: str) -> None:
    found = problems.find(TABLE, error)
    assert found is not None
    assert found.slug == slug


def test_unknown_exception_has_no_problem() -> None:
    assert problems.find(TABLE, RuntimeError("a secret")) is None


def everyday() -> Iterator[Problem]:
    yield from problems.COMMON.values()
    yield from commands.PROBLEMS.values()
    yield from (problems.INTERNAL, problems.INVALID, problems.MALFORMED, problems.UNAVAILABLE)


@pytest.mark.parametrize("problem", [*everyday()], ids=lambda problem: problem.slug)
def test_problems_type_is_a_urn_and_its_status_an_error(problem: Problem) -> None:
    assert re.fullmatch(r"urn:ecert:problem:[a-z][a-z0-9-]+", problem.type)
    assert 400 <= problem.status < 600


def test_empty_members_are_omitted_from_the_document() -> None:
    body = Problem(HTTPStatus.CONFLICT, "own", "Own").body(None, srn=None, request_id="r")
    assert body == {"type": "urn:ecert:problem:own", "title": "Own", "status": 409, "request_id": "r"}
