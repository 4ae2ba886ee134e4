"""Every page of the desk in every state that staff may see it in, answered by a real desk."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from werkzeug.test import TestResponse

from deploy.local.staff import CA
from shared import db
from tests.browser.pages import desk_content as content
from tests.browser.pages.desk_content import OPERATOR, SUPERVISOR, letter, renewal
from tests.integration.backoffice.desk import old_evidence
from tests.integration.backoffice.desk.opening import make_members, open_pool, open_world
from tests.integration.backoffice.desk.world import URL, World
from tests.support.engines import Postgres

ENQUIRIES: Final = "lau-wing-yan"
MAIL_ROOM: Final = "cheung-kwok-wai"
AUDITOR: Final = "mok-sze-wan"
REGISTRATION: Final = "kwok-lai-ying"
_NOWHERE: Final = "2b9c1c1e-7a55-4b3e-9a35-0f2f6f5d8c11"
_DONE: Final = ("returned", "replaced", "proposed", "turned-down", "gone-on", "held-on")


@dataclass(frozen=True, kw_only=True)
class DeskState:
    """A page as one member of staff sees it at a desk; with a form, what comes of sending that."""

    name: str
    world: World
    path: str
    member: str | None = ENQUIRIES
    form: Mapping[str, str] | None = None
    status: int = 200

    @property
    def address(self) -> str:
        """Title in the browser."""
        return f"{URL}{self.path}"

    def show(self) -> TestResponse:
        """Return the page. Fails unless it has the status that it should have."""
        client = self.world.client(self.member)
        if self.form is None:
            answer = client.get(self.path)
        else:
            answer = self.world.post(self.member or "", self.path, **self.form)
        assert answer.status_code == self.status, f"{self.name}: {answer.status}"
        return answer


@dataclass(frozen=True, kw_only=True)
class Desks:
    """One desk that has seen much, and a new one beside which no service answers."""

    busy: World
    new: World
    states: list[DeskState] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the states down once: some change what the next one would see."""
        for make in (_looking_up, _letters, _held, _evidence, _audited, _empty, _refused):
            self.states.extend(make(self))


@contextmanager
def opened(postgres: Postgres) -> Iterator[Desks]:
    """Yield both, in this process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="desks-")))
        members = make_members(folder / "staff")
        crl_file = members.folder / "crls" / f"{CA}.crl"
        worlds = []
        for name in ("busy", "new"):
            (folder / name).mkdir()
            pool = stack.enter_context(open_pool(stack.enter_context(postgres.database("desk")).url))
            worlds.append(stack.enter_context(open_world(pool, members, crl_file, folder / name)))
        busy, new = worlds
        mailing = stack.enter_context(postgres.database("mailing"))
        pool = stack.enter_context(db.open_pool(mailing.url, name="mailing", max_size=4))
        stack.enter_context(content.operated(pool, busy.sockets))
        identity = stack.enter_context(postgres.database("identity"))
        pool = stack.enter_context(db.open_pool(identity.url, name="identity", max_size=4))
        stack.enter_context(old_evidence.operated(pool, busy.sockets))
        content.furnish(busy)
        yield Desks(busy=busy, new=new)


def _looking_up(desks: Desks) -> Iterator[DeskState]:
    found = {
        "one": renewal(1).items[0].reference,
        "many": "harbourlights.example.hk",
        "nothing": "E-ZZZZZZZZZZ",
        "markup": "<script>alert(1)</script>" + "x" * 200,
    }
    yield DeskState(name="search", world=desks.busy, path="/")
    for name, text in found.items():
        yield DeskState(name=f"search {name}", world=desks.busy, path=f"/?q={text}")
    for standing in ("waiting", "issued", "refused"):
        yield DeskState(name=f"certificates {standing}", world=desks.busy, path=f"/certificates/{standing}")
    numbers = {"accepted": 1, "revoked": 2, "refused": 3, "withdrawn": 4, "returned": 11, "lost": 12, "held": 20}
    for name, number in numbers.items():
        path = f"/renewals/{renewal(number).id}"
        yield DeskState(name=f"renewal {name}", world=desks.busy, path=path, member=SUPERVISOR)


def _letters(desks: Desks) -> Iterator[DeskState]:
    def page(name: str, path: str, status: int = 200, **form: str) -> DeskState:
        sent = form or None
        return DeskState(name=name, world=desks.busy, path=path, member=MAIL_ROOM, form=sent, status=status)

    for place in ("despatched", "returned", "lost"):
        yield page(f"letters {place}", f"/envelopes/{place}")
    yield page("batches", "/envelopes/batches")
    numbers = {"under way": 10, "back": 11, "lost": 12, "voided": 13, "of an issued certificate": 1}
    for name, number in numbers.items():
        yield page(f"letter {name}", f"/envelopes/{letter(number)}")
    way = f"/envelopes/{letter(10)}"
    yield DeskState(name="letter to look at", world=desks.busy, path=way)
    yield page("letter back, nothing said", f"{way}/return", 422, **_on(31, 2, 2026))
    yield page("letter replaced, nothing said", f"{way}/replacement", 422, reason="")
    yield page("letter refused by mailing", f"{way}/return", 422, reason="unclaimed", **_on(23, 11, 2026))
    yield page("recipient", f"{way}/recipient")


def _on(day: int, month: int, year: int) -> dict[str, str]:
    return {"on-day": str(day), "on-month": str(month), "on-year": str(year)}


def _held(desks: Desks) -> Iterator[DeskState]:
    def page(name: str, path: str, member: str = OPERATOR, status: int = 200) -> DeskState:
        form = {"reason": ""} if status == 422 else None
        return DeskState(name=name, world=desks.busy, path=path, member=member, form=form, status=status)

    proposed, alone = (f"/held/desk/{content.held_event(desks.busy, number)}" for number in (20, 21))
    yield page("held", "/held")
    yield page("held by desk", "/held/desk")
    yield page("held by mailing", "/held/mailing")
    yield page("held event", alone)
    yield page("held event unreadable", f"/held/desk/{content.unreadable(desks.busy)}")
    yield page("held event proposed, mine", proposed)
    yield page("held event proposed, to decide", proposed, SUPERVISOR)
    yield page("held event to look at", alone, AUDITOR)
    yield page("held event, redrive without reason", f"{alone}/redrive", status=422)
    yield page("held event, skip without reason", f"{alone}/skip", status=422)
    for done in _DONE:
        yield page(f"done {done}", f"/held/desk?done={done}")


def _evidence(desks: Desks) -> Iterator[DeskState]:
    def page(name: str, path: str, member: str = REGISTRATION, form: Mapping[str, str] | None = None) -> DeskState:
        status = 200 if form is None else 422
        return DeskState(name=name, world=desks.busy, path=path, member=member, form=form, status=status)

    proposed, alone = old_evidence.PAGE, "/evidence/authority/chan"
    assert desks.busy.post(REGISTRATION, f"{proposed}/proposal", **old_evidence.FORM).status_code == 303
    [decide] = re.findall(r'action="(/evidence/[^"]+/approval)"', desks.busy.client(SUPERVISOR).get(proposed).text)
    yield page("evidence", "/evidence")
    yield page("evidence to renew", alone)
    yield page("evidence to look at", alone, AUDITOR)
    yield page("evidence proposed, mine", proposed)
    yield page("evidence proposed, to decide", proposed, SUPERVISOR)
    yield page("evidence, nothing entered", f"{alone}/proposal", form=dict.fromkeys(old_evidence.FORM, ""))
    yield page("evidence, decision without reason", decide, SUPERVISOR, {"reason": ""})
    for done in ("evidence-renewed", "evidence-kept"):
        yield page(f"done {done}", f"{proposed}?done={done}")


def _audited(desks: Desks) -> Iterator[DeskState]:
    yield DeskState(name="audit", world=desks.busy, path="/audit", member=AUDITOR)


def _empty(desks: Desks) -> Iterator[DeskState]:
    """Yield states of a new desk, without any other service."""
    lists = [f"/certificates/{standing}" for standing in ("waiting", "issued", "refused")]
    pages = {
        AUDITOR: ("/", "/?q=R-ABCDEFGHIJ", *lists, "/held", "/held/desk", "/audit"),
        MAIL_ROOM: [f"/envelopes/{place}" for place in ("despatched", "returned", "lost")],
    }
    for member, paths in pages.items():
        for path in paths:
            yield DeskState(name=f"empty {path}", world=desks.new, path=path, member=member)
    for member, path in ((AUDITOR, "/held/mailing"), (MAIL_ROOM, "/envelopes/batches")):
        yield DeskState(name=f"silent {path}", world=desks.new, path=path, member=member, status=503)


def _refused(desks: Desks) -> Iterator[DeskState]:
    """Yield who is not let in, and what is not there."""
    members = {None: 401, "ng-pui-shan-no-role": 403, "fung-chi-ho-revoked": 403, "lau-wing-yan-expired": 403}
    for member, status in members.items():
        yield DeskState(name=f"refused {member}", world=desks.busy, path="/", member=member, status=status)
    yield DeskState(name="not allowed", world=desks.busy, path="/audit", status=403)
    for path in ("/nowhere", f"/renewals/{_NOWHERE}", f"/envelopes/{_NOWHERE}"):
        yield DeskState(name=f"not there {path}", world=desks.busy, path=path, status=404)
    yield DeskState(name="event not there", world=desks.busy, path="/held/desk/999999", member=OPERATOR, status=404)
