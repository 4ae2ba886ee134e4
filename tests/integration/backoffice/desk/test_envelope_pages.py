"""PIN Envelopes at the desk, with the real mailing and the real issuance behind it: seen, come back, replaced."""

import html
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.issuance import operator_api as issuance_operating
from services.mailing import operator_api as mailing_operating
from services.mailing.domain import Letter
from shared.db import open_pool
from shared.events.issuance import OrderOpened, PINReissued, PINVoided
from shared.events.mailing import PINEnvelopePosted, PINEnvelopeReturned
from tests.integration.backoffice.desk.world import CHAN, Renewal, World, operating
from tests.integration.services.issuance.world import World as Issuance
from tests.integration.services.mailing.mail_server import MailServerFake
from tests.integration.services.mailing.test_posting import filled, post, rows_of
from tests.integration.services.mailing.world import World as Mailing
from tests.integration.services.mailing.world import sealed_event
from tests.support.builders import NOW, document, receipt
from tests.support.engines import Database, Postgres
from tests.unit.services.mailing.letter import a_letter
from tests.unit.services.mailing.test_registered_numbers import numbered

ENQUIRIES, MAIL_ROOM, AUDITOR = "lau-wing-yan", "cheung-kwok-wai", "mok-sze-wan"
YESTERDAY = {"on-day": "22", "on-month": "11", "on-year": "2026"}
TODAY = {"on-day": "23", "on-month": "11", "on-year": "2026"}


@pytest.fixture
def mailing(world: World, postgres: Postgres, database: Callable[[str], Database], tmp_path: Path) -> Iterator[Mailing]:
    """A mailing that the desk reaches."""
    made = database("mailing")
    with ExitStack() as stack:
        pool = stack.enter_context(closing(open_pool(made.url, name="mailing-test")))
        print_pool = stack.enter_context(closing(open_pool(postgres.url(made.name, "mailing_print"), name="print")))
        socket = world.sockets / "mailing.sock"
        stack.enter_context(operating("mailing", pool, socket, operations=mailing_operating.OPERATIONS))
        posting = tmp_path / "posting"
        yield Mailing(pool=pool, print_pool=print_pool, server=MailServerFake(), posting=posting, now=NOW)


@pytest.fixture
def issuance(world: World, database: Callable[[str], Database]) -> Iterator[Issuance]:
    """An issuance that the desk reaches."""
    with ExitStack() as stack:
        pool = stack.enter_context(open_pool(database("issuance").url, name="issuance-test"))
        socket = world.sockets / "issuance.sock"
        stack.enter_context(operating("issuance", pool, socket, operations=issuance_operating.OPERATIONS))
        yield Issuance(pool)


def letter_of(renewal: Renewal) -> Letter:
    item = renewal.items[0]
    return a_letter(
        renewal_id=renewal.id,
        item_id=item.id,
        envelope_id=uuid.uuid5(item.id, "0"),
        server_name=item.server_names[0],
    )


@pytest.fixture
def posted(world: World, mailing: Mailing) -> Letter:
    """A letter that mailing printed and posted, as the desk heard."""
    renewal = Renewal()
    letter = letter_of(renewal)
    mailing.apply(sealed_event(letter))
    mailing.print_all()
    mailing.pass_time(minutes=2)
    assert mailing.close()
    post(mailing, filled(rows_of(mailing), numbered(1)))
    world.apply(*[each for each in renewal.asked() if not isinstance(each, PINEnvelopePosted)])
    world.apply(*mailing.announced(renewal.id))
    return letter


def seen(world: World, member: str, path: str) -> str:
    """Return the page as it is read: no tags, no entities."""
    answer = world.client(member).get(path)
    assert answer.status_code == 200, path
    text = re.sub(r"</?(span|wbr)[^>]*>", "", answer.text)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def audited(world: World) -> list[tuple[Any, ...]]:
    return world.rows(
        "SELECT actor, action, details->>'reason' FROM audit_log WHERE action <> 'roles-assigned' ORDER BY id"
    )


def test_open_letter_is_listed_and_shown(world: World, posted: Letter) -> None:
    listing = seen(world, ENQUIRIES, "/envelopes/despatched")
    for shown in (numbered(1), posted.server_name, "E-AAAAAAAAAA", CHAN.subscriber_name, "23 Nov 2026"):
        assert shown in listing
    page = seen(world, ENQUIRIES, f"/envelopes/{posted.envelope_id}")
    assert "Despatched" in page
    assert "The post returned it" not in page
    assert "The post returned it" in seen(world, MAIL_ROOM, f"/envelopes/{posted.envelope_id}")


def test_returned_letter_is_recorded_by_mailing_and_shown_once_announced(
    world: World, mailing: Mailing, posted: Letter
) -> None:
    page = f"/envelopes/{posted.envelope_id}"
    answer = world.post(MAIL_ROOM, f"{page}/return", reason="unclaimed 無人領取", **TODAY)
    assert answer.status_code == 303
    assert "Recorded: the letter came back" in world.client(MAIL_ROOM).get(answer.location).text
    assert audited(world) == [
        ("S1002", "mark-returned-asked", "unclaimed 無人領取"),
        ("S1002", "mark-returned-done", None),
    ]
    ((actor,),) = mailing.rows("SELECT actor FROM audit_log WHERE action = 'envelope-returned'")
    assert actor == "staff S1002"
    world.apply(*[each for each in mailing.announced(posted.renewal_id) if isinstance(each, PINEnvelopeReturned)])
    assert "23 Nov 2026: unclaimed 無人領取" in seen(world, MAIL_ROOM, page)
    assert numbered(1) in seen(world, ENQUIRIES, "/envelopes/returned")
    assert "None." in seen(world, ENQUIRIES, "/envelopes/despatched")
    batches = seen(world, MAIL_ROOM, "/envelopes/batches")
    assert re.search(r"batch-000001 Closed .* 0 0 1 0", batches)


@pytest.mark.parametrize(
    ("form", "field", "told"),
    [
        ({"reason": "unclaimed", "on-day": "31", "on-month": "2", "on-year": "2026"}, "on", "Enter the day"),
        ({"reason": "unclaimed", **TODAY, "on-day": "24"}, "on", "This day has not come yet"),
        ({"reason": " ", **TODAY}, "reason", "Say why"),
        ({"reason": "x" * 501, **TODAY}, "reason", "Say it in 500 characters"),
        ({"reason": "unclaimed", **YESTERDAY}, "reason", "had not been posted by then"),
    ],
)
def test_invalid_form_is_shown_again_with_its_entries(
    world: World, mailing: Mailing, posted: Letter, form: dict[str, str], field: str, told: str
) -> None:
    answer = world.post(MAIL_ROOM, f"/envelopes/{posted.envelope_id}/return", **form)
    assert answer.status_code == 422
    assert re.search(rf'<a href="#returned-{field}[^"]*">[^<]*{told}', answer.text), answer.text
    assert f'value="{form["on-day"]}"' in answer.text
    assert mailing.rows("SELECT 1 FROM pin_envelopes WHERE state = 'returned'") == []


def test_refusal_by_mailing_is_audited_at_the_desk(world: World, mailing: Mailing, posted: Letter) -> None:
    world.post(MAIL_ROOM, f"/envelopes/{posted.envelope_id}/return", reason="unclaimed", **YESTERDAY)
    assert audited(world)[-1] == ("S1002", "mark-returned-refused", None)


def test_viewing_an_address_is_audited_and_shows_it_verbatim(world: World, posted: Letter) -> None:
    """Traditional Chinese as identity attested it, line by line, in its own font; the rest is English."""
    path = f"/envelopes/{posted.envelope_id}/recipient"
    answer = world.client(MAIL_ROOM).get(path)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (
        '<span lang="zh-Hant">海港燈飾中心十二樓</span>B<span lang="zh-Hant">室</span><br>88 Des Voeux' in answer.text
    )
    assert 'CHAN Mei Ling <span lang="zh-Hant">陳美玲</span>' in answer.text
    assert audited(world) == [("S1002", "recipient-seen", None)]
    assert world.client(ENQUIRIES).get(path).status_code == 403
    assert CHAN.address[0] not in seen(world, MAIL_ROOM, f"/envelopes/{posted.envelope_id}")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_cause_an_audited_view(world: World, posted: Letter, site: str) -> None:
    path = f"/envelopes/{posted.envelope_id}/recipient"
    answer = world.client(MAIL_ROOM).get(path, headers={"Sec-Fetch-Site": site})
    assert (answer.status_code, "Nothing was done" in answer.text) == (403, True)
    assert audited(world) == []
    for own in ("same-origin", "none"):
        assert world.client(MAIL_ROOM).get(path, headers={"Sec-Fetch-Site": own}).status_code == 200


def test_names_outside_the_basic_plane_and_letters_of_other_scripts_are_shown_whole(world: World) -> None:
    renewal = Renewal()
    rare = replace(CHAN, name="𨋢𠮷 Ms O’Néill <b>&", address=("𨋢廈 & <i>12樓</i>", "深水埗鴨寮街88號", "香港"))
    content = document(renewal.id, renewal.items, rare, reference=renewal.reference)
    asked = renewal.requested(
        document=content.decode(),
        attestation=rare.attestation(renewal.id, content),
        receipt=receipt(renewal.id, content, renewal.amount),
    )
    world.apply(asked, renewal.posted())
    path = f"/envelopes/{renewal.posted().envelope_id}/recipient"
    page = world.client(MAIL_ROOM).get(path).text
    read = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert all(text in read for text in (rare.name, *rare.address))
    assert "<b>" not in page
    assert "<i>" not in page


def replaced(world: World, issuance: Issuance) -> tuple[str, str, Any]:
    """Return a letter of issuance's that the mail room reports lost: its page, the form's answer, the renewal."""
    renewal = issuance.opened(["www.example.hk"])
    ((envelope_id,),) = issuance.rows("SELECT envelope_id FROM pins")
    item_id = renewal.items[0].item_id
    posted = PINEnvelopePosted(
        renewal_id=renewal.renewal_id,
        item_id=item_id,
        envelope_id=envelope_id,
        server_name="www.example.hk",
        registered_number=numbered(7),
        posted_on=NOW.date(),
    )
    opened = [each for each in issuance.announced(renewal.renewal_id) if isinstance(each, OrderOpened)]
    world.apply(*opened, posted)
    return f"/envelopes/{envelope_id}", str(envelope_id), renewal


def test_pin_of_a_lost_letter_is_voided_and_its_replacement_shown(world: World, issuance: Issuance) -> None:
    page, old, renewal = replaced(world, issuance)
    answer = world.post(MAIL_ROOM, f"{page}/replacement", what="lost", reason="no trace")
    assert answer.status_code == 303
    assert "another letter is being made" in world.client(MAIL_ROOM).get(answer.location).text
    assert audited(world) == [("S1002", "reissue-pin-asked", "no trace"), ("S1002", "reissue-pin-done", None)]
    told = issuance.announced(renewal.renewal_id)
    world.apply(*[each for each in told if isinstance(each, PINVoided | PINReissued)])
    assert ": lost" in seen(world, MAIL_ROOM, page)
    assert numbered(7) in seen(world, ENQUIRIES, "/envelopes/lost")
    ((new,),) = issuance.rows("SELECT envelope_id FROM pins WHERE state <> 'void'")
    assert f'href="/envelopes/{new}"' in world.client(MAIL_ROOM).get(page).text
    successor = world.client(MAIL_ROOM).get(f"/envelopes/{new}").text
    assert f'href="/envelopes/{old}"' in successor
    assert "Being made" in successor


def test_letter_replaced_by_another_person_is_not_replaced_again(world: World, issuance: Issuance) -> None:
    """The desk has not heard of it yet: its page still offers the form."""
    page, _, renewal = replaced(world, issuance)
    issuance.reissue(renewal)
    answer = world.post(MAIL_ROOM, f"{page}/replacement", what="returned", reason="came back")
    assert (answer.status_code, "Letter already replaced" in answer.text) == (422, True)
    assert len(issuance.rows("SELECT 1 FROM pins")) == 2
    assert audited(world)[-1] == ("S1002", "reissue-pin-refused", None)


@pytest.mark.parametrize(
    ("form", "told"),
    [({"reason": "x"}, "Select what became"), ({"what": "eaten", "reason": "x"}, "Select what became")],
)
def test_replacement_needs_the_fate_of_the_letter(
    world: World, issuance: Issuance, form: dict[str, str], told: str
) -> None:
    page, _, _ = replaced(world, issuance)
    answer = world.post(MAIL_ROOM, f"{page}/replacement", **form)
    assert (answer.status_code, told in answer.text) == (422, True)
    assert len(issuance.rows("SELECT 1 FROM pins")) == 1


def test_repeated_request_makes_one_letter(world: World, issuance: Issuance) -> None:
    page, _, _ = replaced(world, issuance)
    once = uuid.uuid4().hex
    for _ in range(2):
        assert world.post(MAIL_ROOM, f"{page}/replacement", what="lost", reason="x", once=once).status_code == 303
    assert len(issuance.rows("SELECT 1 FROM pins")) == 2


def test_long_list_is_read_page_by_page_and_no_letter_twice(world: World) -> None:
    renewals = [Renewal() for _ in range(60)]
    for number, renewal in enumerate(renewals):
        day = NOW.date() - timedelta(days=number % 4)
        world.apply(replace(renewal.posted(), registered_number=f"R{number}", posted_on=day))
    found: list[str] = []
    path = "/envelopes/despatched"
    while path:
        page = world.client(ENQUIRIES).get(path).text
        found += re.findall(r'href="/envelopes/([0-9a-f-]{36})"', page)
        following = re.search(r'href="(/envelopes/despatched\?after=[^"]+)"', page)
        path = following[1] if following else ""
    assert len(found) == len(set(found)) == 60
    assert {*found} == {str(each.posted().envelope_id) for each in renewals}


def test_auditor_sees_the_actions_in_the_log(world: World, mailing: Mailing, posted: Letter) -> None:
    world.post(MAIL_ROOM, f"/envelopes/{posted.envelope_id}/return", reason="遷出", **TODAY)
    page = seen(world, AUDITOR, "/audit")
    assert page.index("mark-returned-done") < page.index("mark-returned-asked")
    assert "張國偉" in page
    assert "遷出" in page
