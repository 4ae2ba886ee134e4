"""Each kind of divergence, planted and named with its renewal; nothing is named of a good renewal or one under way."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from backoffice.reconciliation import kinds
from tests.unit.backoffice.reconciliation.world import EVENTS, ITEM, LONG_AGO, NOW, RENEWAL, World, good, refund_made

Plant = Callable[[World], object]
APPLICATION, PAYMENT = "application.events", "payment.events"


def _gap(world: World) -> None:
    for said_by, record in (("application", "event"), ("topics", "record")):
        world.drop(said_by, record, topic=APPLICATION, sequence=2)


def _ahead(world: World) -> None:
    world.one("payment", "inbox", topic=APPLICATION).update(sequence=9, event_id=None)


def _two_refunds(world: World) -> None:
    world.one("application", "item").update(state="refused", serial=None)
    world.rows["issuance"]["certificate"].clear()
    world.one("application", "renewal").update(state="refused")
    refund_made(world, "r1")
    refund_made(world, "r2")


def _refund(world: World, **changed: object) -> None:
    """Add a refund of an item that got no certificate; `changed` in payment's row."""
    item = {"id": "i2", "renewal_id": RENEWAL, "state": "refused", "serial": None, "amount_minor": 1000}
    world.add("application", "item", **item, obstacles_sha256="none")
    refund_made(world, "r1", item="i2")
    world.one("payment", "refund", id="r1").update(changed)


def _refund_at_provider_only(world: World) -> None:
    world.add("provider", "effect", kind="refund", reference="?", amount_minor=1)


def _refund_not_at_provider(world: World) -> None:
    _refund(world)
    world.drop("provider", "effect", reference="r1")


def _refund_not_made(world: World) -> None:
    _refund(world)
    world.drop("payment", "refund", id="r1")
    world.drop("payment", "booking", refund_id="r1")
    world.drop("provider", "effect", reference="r1")


def _refund_not_due(world: World) -> None:
    _refund(world)
    world.drop("application", "refund", id="r1")


def _refund_of_too_much(world: World) -> None:
    _refund(world)
    for said_by, record in (("application", "refund"), ("payment", "refund")):
        world.one(said_by, record, id="r1")["amount_minor"] = 6000
    world.one("payment", "booking", refund_id="r1")["amount_minor"] = 6000
    world.one("provider", "effect", reference="r1")["amount_minor"] = 6000


def _not_booked(world: World) -> None:
    _refund(world)
    world.drop("payment", "booking", refund_id="r1")


def _no_certificate(world: World) -> None:
    world.rows["issuance"]["certificate"].clear()


def _forgotten_capture(world: World) -> None:
    world.one("payment", "payment").update(state="open", captured_at=None, receipt_sha256=None)
    world.rows["payment"]["booking"].clear()


def _unpaid(world: World) -> None:
    _forgotten_capture(world)
    world.one("application", "renewal").update(captured_minor=None)
    world.rows["provider"]["effect"].clear()


def _forged(world: World) -> None:
    event = world.one("topics", "record", topic=PAYMENT)
    world.add("topics", "record", **{**event, "id": "x", "sequence": 2})


def _held(world: World) -> None:
    world.add("payment", "held", topic=APPLICATION, key=RENEWAL, sequence=3, reason="failed", since=LONG_AGO)


def _not_posted(world: World) -> None:
    world.one("mailing", "envelope").update(state="printed", printed_at=(NOW - timedelta(days=30)).isoformat())


def _stranger(world: World) -> None:
    world.add(
        "issuance", "certificate", serial="ff", item_id="x", renewal_id=RENEWAL, issued_at=LONG_AGO, revoked_at=None
    )


def _delayed(world: World) -> None:
    """Add an item that waits, of which application has not heard."""
    item = {"id": "i2", "renewal_id": RENEWAL, "state": "csr-received"}
    world.add("application", "item", **item, serial=None, amount_minor=1000, obstacles_sha256="none")
    world.add("issuance", "order", **item, obstacles_sha256="some")


def _yesterdays(world: World) -> None:
    world.taken_at["mailing"] = NOW - timedelta(days=2)


CASES: list[tuple[str, Plant]] = [
    ("event-missing-in-outbox", _forged),
    ("event-differs", lambda w: w.one("topics", "record", topic=PAYMENT).update(data_sha256="other")),
    ("event-missing-in-topic", lambda w: w.drop("topics", "record", topic=PAYMENT)),
    ("event-not-sent", lambda w: w.one("payment", "event").update(sent=False)),
    ("sequence-gap", _gap),
    ("sequence-gap", lambda w: w.one("payment", "counter").update(sequence=4)),
    ("sequence-gap", lambda w: w.rows["payment"]["counter"].clear()),
    ("consumer-behind", lambda w: w.one("payment", "inbox").update(sequence=1, event_id=None)),
    ("consumer-behind", lambda w: w.drop("desk", "inbox", topic=PAYMENT)),
    ("consumer-ahead", _ahead),
    ("consumer-read-another-event", lambda w: w.one("payment", "inbox").update(event_id="another")),
    ("event-held", _held),
    ("capture-unknown", lambda w: w.add("provider", "effect", kind="capture", reference="?", amount_minor=1)),
    ("capture-not-recorded", _forgotten_capture),
    ("capture-not-at-provider", lambda w: w.rows["provider"]["effect"].clear()),
    ("capture-not-at-provider", lambda w: w.one("provider", "effect").update(amount_minor=4000)),
    ("refund-twice", _two_refunds),
    ("refund-exceeds-capture", _refund_of_too_much),
    ("refund-unknown", _refund_at_provider_only),
    ("refund-not-at-provider", _refund_not_at_provider),
    ("refund-not-made", _refund_not_made),
    ("refund-not-due", _refund_not_due),
    ("ledger-differs", lambda w: w.one("payment", "booking").update(amount_minor=4999)),
    ("ledger-differs", _not_booked),
    ("payment-differs", lambda w: w.one("application", "renewal").update(captured_minor=None)),
    ("payment-differs", lambda w: w.rows["application"]["renewal"].clear()),
    ("completed-without-certificate", _no_certificate),
    ("certificate-without-order", _stranger),
    ("certificate-not-known", lambda w: w.one("application", "item").update(state="csr-received")),
    ("delay-not-known", _delayed),
    ("certificate-without-payment", _unpaid),
    ("issued-and-refunded", lambda w: refund_made(w, "r1")),
    ("issued-although-withheld", lambda w: w.one("issuance", "gate").update(withheld_at=LONG_AGO)),
    ("proof-differs", lambda w: w.one("payment", "payment").update(document_sha256="x")),
    ("proof-differs", lambda w: w.one("payment", "payment").update(receipt_sha256="x")),
    ("proof-differs", lambda w: w.one("identity", "evidence").update(attestation_sha256="x")),
    ("proof-differs", lambda w: w.one("issuance", "renewal").update(attestation_sha256="x")),
    ("mail-unknown", lambda w: w.add("mail", "delivery", message_id="<forged@ecert>")),
    ("mail-missing", lambda w: w.rows["mail"]["delivery"].clear()),
    ("mail-more-than-twice", lambda w: w.rows["mail"]["delivery"].extend([{"message_id": "<m@ecert>"}] * 2)),
    ("mail-not-sent", lambda w: w.one("mailing", "mail").update(state="unconfirmed")),
    ("envelope-missing", lambda w: w.rows["mailing"]["envelope"].clear()),
    ("envelope-unknown", lambda w: w.rows["issuance"]["pin"].clear()),
    ("envelope-not-printed", lambda w: w.one("mailing", "envelope").update(state="sealed")),
    ("envelope-not-posted", _not_posted),
    ("audit-broken", lambda w: w.add("payment", "finding", seal_id=1, what="a row was changed")),
    ("audit-cut", lambda w: w.drop("payment", "seal", id=1)),
    ("audit-not-sealed", lambda w: w.add("payment", "unsealed", id=7, time=LONG_AGO)),
    ("extract-stale", _yesterdays),
]  # fmt: skip
WITHOUT_RENEWAL = {
    *("capture-unknown", "refund-unknown", "mail-unknown", "extract-stale"),
    *("audit-broken", "audit-cut", "audit-not-sealed"),
}


def test_reconciliation_of_a_good_renewal_names_nothing(tmp_path: Path) -> None:
    report = good(tmp_path).compare()

    assert report.divergences == ()
    assert report.skipped == ()
    assert set(report.states) == {"identity", "application", "payment", "mailing", "issuance", "desk"}


def test_reconciliation_every_kind_is_planted() -> None:
    assert {name for name, _ in CASES} == {kind.name for kind in kinds.ALL}
    assert len({kind.name for kind in kinds.ALL}) == len(kinds.ALL)


@pytest.mark.parametrize(("name", "plant"), CASES, ids=[f"{n}-{name}" for n, (name, _) in enumerate(CASES)])
def test_reconciliation_of_a_planted_divergence_names_its_kind_and_renewal(
    tmp_path: Path, name: str, plant: Plant
) -> None:
    world = good(tmp_path)
    plant(world)

    report = world.compare()

    named = {divergence.renewal for divergence in report.divergences if divergence.kind == name}
    assert named, report.divergences
    assert named <= ({None} if name in WITHOUT_RENEWAL else {RENEWAL})


def test_reconciliation_of_a_renewal_under_way_names_nothing(tmp_path: Path) -> None:
    """Records younger than the horizon may not have reached the others yet."""
    world = good(tmp_path)
    just_now = (NOW - timedelta(minutes=1)).isoformat()
    event = {**world.one("application", "event", sequence=3), "id": "y", "sequence": 4, "time": just_now, "sent": False}
    world.rows["application"]["event"].append(event)
    world.one("application", "counter").update(sequence=4)
    world.add("mailing", "mail", message_id="<n@ecert>", renewal_id=RENEWAL, template="renewal-completed",
              state="queued", queued_at=just_now, settled_at=None)  # fmt: skip
    world.add("issuance", "pin", id="e2", renewal_id=RENEWAL, item_id=ITEM, state="sealed", planned_at=just_now)
    world.add("payment", "unsealed", id=8, time=just_now)
    _delayed(world)
    delay = {**world.one("issuance", "event", sequence=2), "id": "z", "sequence": 3, "time": just_now, "sent": True}
    delay["type"] = "hk.ecert.issuance.issuance-delayed.v1"
    world.rows["issuance"]["event"].append(delay)
    world.rows["topics"]["record"].append({name: value for name, value in delay.items() if name != "sent"})
    world.one("issuance", "counter").update(sequence=3)

    assert world.compare(grace=timedelta(minutes=15)).divergences == ()
    named = {divergence.kind for divergence in world.compare().divergences}
    assert named == {
        "event-not-sent",
        "consumer-behind",
        "mail-not-sent",
        "envelope-missing",
        "audit-not-sealed",
        "delay-not-known",
    }


def test_reconciliation_without_others_records_says_which_kinds_it_skipped(tmp_path: Path) -> None:
    from backoffice.reconciliation.comparing import Files, compare
    from backoffice.reconciliation.main import SERVICES

    files = good(tmp_path).files()
    alone = Files(extracts=files.extracts, keys=files.keys)

    report = compare(alone, services=SERVICES, now=NOW, grace=timedelta(0))

    assert report.divergences == ()
    assert set(report.skipped) == {kind.name for kind in kinds.ALL if kind.needs}


def test_reconciliation_world_has_every_service_that_announces() -> None:
    assert {service for service, _ in EVENTS} == {"identity", "application", "payment", "issuance"}


def test_reconciliation_documents_a_first_step_for_every_kind() -> None:
    document = (Path(__file__).parents[4] / "docs" / "reconciliation.md").read_text("utf-8")
    table = document.partition("## Kinds")[2]
    assert [kind.name for kind in kinds.ALL if f"`{kind.name}`" not in table] == []
