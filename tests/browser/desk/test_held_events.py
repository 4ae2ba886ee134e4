"""Held events at the desk, in a real browser on the whole system: redriven, or skipped with four-eyes approval."""

import contextlib
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.browser.desk.staff_browser import StaffBrowser
from tests.browser.keyboard import KeyboardWindow
from tests.system.intruder import Intruder
from tests.system.readings import rows

Begin = Callable[..., Journey]
SitDown = Callable[..., StaffBrowser]
pytestmark = pytest.mark.timeout(300)


@contextlib.contextmanager
def faulty_migration(system: Target, name: str) -> Iterator[None]:
    """Refuse orders for this server name in issuance's table until the block ends, like a fault in a release."""
    installation = system.installation
    owner = "issuance_migrate"
    url = installation.cluster.url("issuance", owner, installation.passwords[f"postgres/{owner}"])
    refuse = "ALTER TABLE orders ADD CONSTRAINT mistake CHECK ({} <> ALL (server_names)) NOT VALID"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL(refuse).format(sql.Literal(name)))
        try:
            yield
        finally:
            conn.execute("ALTER TABLE orders DROP CONSTRAINT mistake")


def held_at(system: Target, service: str, key: str) -> str:
    """Return the address of what the service holds of this renewal, once it does."""
    query = "SELECT id FROM parked_events WHERE key = %s ORDER BY sequence LIMIT 1"
    [(parked_id,)] = wait_for(f"{service} to hold {key}", lambda: rows(system, service, query, key) or None)
    return f"/held/{service}/{parked_id}"


def test_operator_redrives_a_held_event_by_the_keyboard_and_the_renewal_goes_on(
    system: Target, at_desk: SitDown, begin: Begin, spare: Iterator[str]
) -> None:
    ar = begin(next(spare))
    ar.submit()
    desk = at_desk("yip-hoi-ching", window=KeyboardWindow)
    [item] = ar.renewal["items"]
    with faulty_migration(system, item["server_names"][0]):
        ar.pay()
        event = held_at(system, "issuance", ar.id)
        desk.open("/held")
        desk.window.press("a[href='/held/issuance']")
        desk.window.press(f"a[href='{event}']")
        desk.window.wait("#redrive-reason")
        assert desk.title == "CSRs requested"
        assert desk.fact("Why") == ["Failed three times (failed)"]
        assert "mistake" in desk.fact("Error")[0]
        desk.send("redrive", redrive_reason="Perhaps it was the load")
        assert "still held" in desk.said
    desk.window.press(f"a[href='{event}']")
    desk.send("redrive", redrive_reason="The constraint of release 1.4.1 is dropped")
    assert desk.said.startswith("Done: nothing of this renewal is held here any more.")
    desk.window.gone(f"a[href='{event}']")

    ar.receive()
    ar.fulfil()
    assert set(ar.verify(system.root).values()) == {"OK"}
    desk = at_desk("mok-sze-wan")
    desk.open("/audit")
    [asked] = desk.rows("The constraint of release 1.4.1 is dropped")
    for part in ("S1003", "YIP Hoi Ching 葉海晴", "redrive-asked", ar.id):
        assert part in asked
    [operated] = rows(
        system,
        "issuance",
        "SELECT actor, details->>'reason' FROM audit_log WHERE subject = %s AND action = 'events-redriven'"
        " ORDER BY id DESC LIMIT 1",
        ar.id,
    )
    assert operated == ("staff S1003", "The constraint of release 1.4.1 is dropped")


def test_forged_event_is_skipped_with_four_eyes_approval(system: Target, at_desk: SitDown) -> None:
    key = str(uuid.uuid4())
    forged = {"renewal_id": key, "language": "en", "document": "{}", "attestation": "", "receipt": ""}
    Intruder(system=system, principal="application").request_csrs(forged, key=key)
    event = held_at(system, "issuance", key)

    operator = at_desk("yip-hoi-ching")
    operator.open(event)
    assert "token-refused" in operator.fact("Why")[0]
    operator.send_in_vain("skip")
    assert operator.window.texts(".govuk-error-summary a")[0].startswith("Say why")
    operator.send("skip", skip_reason="Forged: no such application was ever signed")
    assert operator.said == "Your proposal awaits the approval of another person."
    assert operator.window.texts("form[action$='/confirmation']") == []

    supervisor = at_desk("tsang-man-kit")
    supervisor.open("/held")
    supervisor.window.press(f"a[href='{event}']")
    supervisor.window.wait("#decide-reason")
    assert "Forged: no such application was ever signed" in supervisor.fact("Why")
    supervisor.send("confirmation", decide_reason="application's outbox has no such event")
    assert supervisor.said.startswith("Done")
    assert rows(system, "issuance", "SELECT 1 FROM parked_events WHERE key = %s", key) == []

    auditor = at_desk("mok-sze-wan")
    auditor.open("/audit")
    seen = auditor.rows(key)
    assert [("S1003" in row, "S1004" in row) for row in seen if "-asked" in row] == [(False, True), (True, False)]
    assert "Forged: no such application was ever signed" in "".join(seen)
