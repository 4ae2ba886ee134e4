"""Register evidence at the desk: what lapses is listed, and renewed with four-eyes approval."""

import re
from collections.abc import Callable, Iterator

import pytest

from shared import db
from shared.db import Pool
from tests.integration.backoffice.desk.old_evidence import FORM, PAGE, operated
from tests.integration.backoffice.desk.world import World
from tests.support.engines import Database

REGISTRATION, SUPERVISOR, AUDITOR = "kwok-lai-ying", "tsang-man-kit", "mok-sze-wan"


@pytest.fixture
def identity(database: Callable[[str], Database], world: World) -> Iterator[Pool]:
    """Database of the identity service that the desk asks."""
    with db.open_pool(database("identity").url, name="test", max_size=4) as pool, operated(pool, world.sockets):
        yield pool


def evidence_of(identity: Pool) -> list[tuple[object, ...]]:
    with identity.connection() as conn:
        return conn.execute("SELECT source, checker FROM subscribers").fetchall()


def test_lapsing_evidence_is_listed_and_shown(world: World, identity: Pool) -> None:
    listing = world.client(AUDITOR).get("/evidence").text
    assert "Harbour Lights Trading Limited" in listing
    assert "Authority of an AR" in listing
    page = world.client(AUDITOR).get(PAGE).text
    assert "Companies Registry" in page
    assert "It was verified again" not in page, "an auditor proposes nothing"
    assert "Acts for" in world.client(AUDITOR).get("/evidence/authority/chan").text


def test_evidence_is_renewed_by_four_eyes_approval(world: World, identity: Pool) -> None:
    answer = world.post(REGISTRATION, f"{PAGE}/proposal", **FORM)
    assert answer.status_code == 303
    assert "awaits the approval of another person" in world.client(REGISTRATION).get(answer.location).text
    page = world.client(SUPERVISOR).get(PAGE).text
    assert "staff S1008" in page
    (path,) = re.findall(r'action="(/evidence/[^"]+/approval)"', page)
    assert "Approve" not in world.client(REGISTRATION).get(PAGE).text
    assert evidence_of(identity) == [("Companies Registry", "Officer 1")]
    answer = world.post(SUPERVISOR, path, reason="the extract is whole")
    assert "The evidence is renewed" in world.client(SUPERVISOR).get(answer.location).text
    assert evidence_of(identity) == [("Extract", "KWOK")]
    with identity.connection() as conn:
        ((verified_at,),) = conn.execute("SELECT verified_at FROM subscribers").fetchall()
    assert verified_at.isoformat() == "2026-11-19T16:00:00+00:00", "the day's beginning in Hong Kong"
    assert "Harbour Lights" not in world.client(AUDITOR).get("/evidence").text.partition("<tbody")[2].partition("AR")[0]
    audited = world.rows("SELECT actor, action FROM audit_log WHERE action LIKE '%%evidence%%' ORDER BY id")
    assert audited == [
        ("S1008", "propose-evidence-asked"),
        ("S1008", "propose-evidence-done"),
        ("S1004", "decide-evidence-asked"),
        ("S1004", "decide-evidence-done"),
    ]


def test_supervisor_cannot_approve_their_own_proposal(world: World, identity: Pool) -> None:
    world.post(SUPERVISOR, f"{PAGE}/proposal", **FORM)
    page = world.client(SUPERVISOR).get(PAGE).text
    assert "your own proposal" in page
    with identity.connection() as conn:
        ((proposal,),) = conn.execute("SELECT id FROM proposals").fetchall()
    answer = world.post(SUPERVISOR, f"{PAGE}/proposals/{proposal}/approval", reason="mine")
    assert (answer.status_code, "another person must approve" in answer.text) == (422, True)
    answer = world.post(SUPERVISOR, f"/evidence/authority/chan/proposals/{proposal}/approval", reason="another's")
    assert (answer.status_code, "no open proposal" in answer.text) == (422, True)
    answer = world.post(SUPERVISOR, f"{PAGE}/proposals/{proposal}/rejection", reason="withdrawn")
    assert "the record keeps its evidence" in world.client(SUPERVISOR).get(answer.location).text
    assert evidence_of(identity) == [("Companies Registry", "Officer 1")]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"on-day": "31"}, "Enter the day of the verification"),
        ({"on-year": ""}, "Enter the day of the verification"),
        ({"on-year": "2027"}, "has not come yet"),
        ({"on-year": "2024"}, "lapsed already"),
        ({"on-day": "29", "on-month": "10", "on-year": "2025"}, "verified at"),
        ({"source": " "}, "Enter what it was verified from"),
        ({"checker": "x" * 201}, "Enter who verified it"),
        ({"checker": "n/a"}, "stands for a value"),
        ({"reason": ""}, "Say why"),
    ],
)
def test_form_that_renews_nothing_is_shown_again(
    world: World, identity: Pool, changes: dict[str, str], error: str
) -> None:
    answer = world.post(REGISTRATION, f"{PAGE}/proposal", **FORM | changes)
    assert (answer.status_code, error in answer.text) == (422, True)
    with identity.connection() as conn:
        assert conn.execute("SELECT 1 FROM proposals").fetchall() == []


def test_unknown_record_is_not_found(world: World, identity: Pool) -> None:
    for path in ("/evidence/organisation/nobody", "/evidence/authority/harbour", "/evidence/else/harbour"):
        assert world.client(AUDITOR).get(path).status_code == 404
