"""State recovery: after a restore, the end of `recall` puts lost orders and certificates back."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from services.issuance import certificate_issuance, handlers, revocation, state_recovery, store, work
from services.issuance.ca.crl import RevocationReason
from services.issuance.ct.submission import NotEnoughSCTs
from shared.db import Pool
from shared.errors import Ignored
from shared.events.application import CSRRequested
from shared.events.base import Envelope
from shared.messaging import codec
from shared.messaging.outbox_recovery import RecoveryReport
from tests.integration.services.issuance.test_crls import latest, number, publish, serial
from tests.integration.services.issuance.test_issuing import Dies, SignerThatDies
from tests.integration.services.issuance.test_precertificates import crl_reasons, of_one_operator_only
from tests.integration.services.issuance.test_reissue import announced_data
from tests.integration.services.issuance.test_restored import seal_all
from tests.integration.services.issuance.test_waiting_intents import signed_while
from tests.integration.services.issuance.world import Renewal, World, items
from tests.support.databases import AsNew
from tests.support.engines import Database
from tests.support.recalling import bring_back, records_of, travelled
from tests.unit.services.issuance.pki import NOW

NAME: Final = "www.example.hk"
STATE: Final = (
    "SELECT renewal_id, withheld_at FROM gates ORDER BY renewal_id",
    "SELECT renewal_id, document, attestation, receipt FROM renewals ORDER BY renewal_id",
    """SELECT item_id, position, reference, state, csr, csr_sha256, spki_sha256, key_kind, csr_received_at, refusal
       FROM orders ORDER BY item_id""",
    """SELECT serial, item_id, der, sha256, spki_sha256, not_before, not_after, issued_at, accepted_at, revoked_at,
              revocation_reason, given_out FROM certificates ORDER BY serial""",
    """SELECT serial, tbs, certificate_tbs, state FROM intents
       WHERE serial IN (SELECT serial FROM certificates) ORDER BY serial""",
    "SELECT spki_sha256, subscriber_id, item_id FROM key_owners ORDER BY spki_sha256",
    "SELECT spki_sha256 FROM blocked_keys ORDER BY spki_sha256",
)
LETTERS: Final = "SELECT envelope_id, server_name, state IN ('planned', 'sealed') FROM pins ORDER BY envelope_id"


@dataclass(kw_only=True)
class Story:
    """One renewal on its way, in a database that is restored to an earlier moment."""

    world: World
    database: Database
    renewal: Renewal = field(default_factory=lambda: Renewal(items=items([NAME], ["b.example.hk"])))
    backup: AsNew = field(init=False)
    request: CSRRequested = field(init=False)

    def __post_init__(self) -> None:
        self.request = self.world.request(self.renewal)
        self.back_up()

    def back_up(self) -> None:
        self.backup = AsNew.read(self.database.superuser_url)

    def open(self) -> None:
        with self.world.begin() as tx:
            handlers.on_csr_requested(tx, self.request, keys=self.world.keys)
        seal_all(self.world)
        self.world.prove(self.renewal)

    def submit(self, position: int = 0) -> None:
        self.world.submit(self.renewal, position)

    def issue(self, position: int = 0) -> None:
        self.submit(position)
        assert self.world.issue()

    def revoke(self, reason: RevocationReason) -> None:
        with self.world.begin() as tx:
            revocation.revoke_own(tx, self.renewal.items[0].item_id, reason, self.renewal.caller)

    def restore(self, *, requested: bool = True, relayed: bool = True) -> RecoveryReport:
        """Restore a lost database, and recover the outbox as `recall` does at issuance; without its last event if that
        was not `relayed`.
        """
        sent = travelled(self.world.pool)[: None if relayed else -1]
        assert self.backup.restore(self.database.superuser_url)
        self.world.pool.check()
        self.world.now += timedelta(hours=1)
        report = bring_back(self.world.pool, sent, then=self.put_back if requested else self.put_back_without)
        # The values that the AR was given are lost with what they proved: the AR puts up new ones.
        self.world.prove(self.renewal)
        return report

    def put_back(self, pool: Pool, recovery_id: int, actor: str) -> Sequence[str]:
        return self._put_back(pool, recovery_id, actor, [announced(self.request)])

    def put_back_without(self, pool: Pool, recovery_id: int, actor: str) -> Sequence[str]:
        return self._put_back(pool, recovery_id, actor, [])

    def _put_back(self, pool: Pool, recovery_id: int, actor: str, topic: Sequence[Envelope]) -> Sequence[str]:
        return state_recovery.put_back(
            pool,
            recovery_id,
            lambda: [records_of(topic)],
            keys=self.world.keys,
            actor=actor,
            clock=self.world.clock,
        )

    def state(self, *more: str) -> list[list[tuple[Any, ...]]]:
        return [self.world.rows(query) for query in (*STATE, *more)]


def announced(event: CSRRequested) -> Envelope:
    """Return application's event as it travelled."""
    return Envelope(
        id=uuid.uuid4(),
        source="/application",
        type=event.TYPE,
        topic=event.TOPIC,
        subject=str(event.renewal_id),
        sequence=1,
        time=NOW,
        data=codec.encode_data(event),
        dataschema=codec.schema_name(event.TYPE),
    )


@pytest.fixture
def story(world: World, issuance: Database) -> Story:
    """A renewal of two items whose orders are not open yet."""
    return Story(world=world, database=issuance)


def accepted(story: Story) -> None:
    story.issue()
    with story.world.begin() as tx:
        revocation.accept(tx, story.renewal.items[0].item_id, story.renewal.caller)


def revoked(story: Story) -> None:
    story.issue()
    story.revoke(RevocationReason.SUPERSEDED)


def found_compromised(story: Story) -> None:
    accepted(story)
    story.revoke(RevocationReason.SUPERSEDED)
    story.world.now += timedelta(minutes=1)
    story.revoke(RevocationReason.KEY_COMPROMISE)


def cancelled_too_late(story: Story) -> None:
    story.issue()
    story.world.cancel(story.renewal)


def block_its_key(story: Story) -> None:
    ((spki,),) = story.world.rows("SELECT spki_sha256 FROM orders WHERE spki_sha256 IS NOT NULL")
    with story.world.begin() as tx:
        revocation.block_key(tx, spki, source="reported", actor="ops")


def signed_too_late(story: Story) -> None:
    story.submit()
    signed_while(story.world, story.renewal, lambda: block_its_key(story))


def replaced_while_signed(story: Story) -> None:
    story.submit()

    def taken_up_by_another() -> None:
        story.world.now += timedelta(days=2, minutes=1)  # too old to be signed by now
        assert story.world.issue()

    signed_while(story.world, story.renewal, taken_up_by_another)


def all_issued(story: Story) -> None:
    story.issue()
    story.issue(1)


# Item 0 needs its PINs no more: its letters are compared, too.
ENDED: Final[Mapping[str, Callable[[Story], object]]] = {
    "issued": Story.issue,
    "all issued": all_issued,
    "accepted": accepted,
    "revoked": revoked,
    "revoked, later for a compromised key": found_compromised,
    "issued, the other item cancelled": cancelled_too_late,
    "withheld": lambda story: story.world.cancel(story.renewal),
    "signed too late to be given out": signed_too_late,
    "issued, and an older intent signed too late": replaced_while_signed,
}


@pytest.mark.parametrize("forgotten", ["everything", "since the letters"])
@pytest.mark.parametrize("ended", ENDED)
def test_announced_state_is_restored_and_announced_only_once(story: Story, ended: str, forgotten: str) -> None:
    story.open()
    if forgotten != "everything":
        story.back_up()
    ENDED[ended](story)
    mine = LETTERS.replace("ORDER", f"WHERE item_id = '{story.renewal.items[0].item_id}' ORDER")
    before, events = story.state(mine), story.world.announced_types(story.renewal.renewal_id)
    assert story.restore().not_put_back == []
    assert story.state(mine) == before
    with pytest.raises(Ignored):  # read again by the consumer that was set back
        story.open()
    assert not story.world.issue()
    assert story.world.announced_types(story.renewal.renewal_id) == events


def test_interrupted_run_is_repeated_and_changes_nothing_more(story: Story) -> None:
    story.open()
    found_compromised(story)
    before = story.state()
    found = story.restore()
    assert story.put_back(story.world.pool, found.recovery_id, "test") == []
    assert story.state() == before


@pytest.mark.parametrize("forgotten", ["everything", "since the letters"])
def test_received_csr_is_certified_without_another_letter(story: Story, forgotten: str) -> None:
    story.open()
    if forgotten != "everything":
        story.back_up()
    story.submit()
    item = str(story.renewal.items[0].item_id)
    before = story.state()
    assert story.restore().not_put_back == []
    assert story.state() == before
    seal_all(story.world)
    letters = [
        each for each in announced_data(story.world, story.renewal, "pin-envelope-sealed") if each["item_id"] == item
    ]
    assert len(letters) == 1
    assert story.world.issue()
    assert not story.world.issue()
    assert story.world.announced_types(story.renewal.renewal_id).count("certificate-issued") == 1
    assert story.world.rows("SELECT state FROM pins WHERE item_id = %s", item) == [("spent",)]


def test_unusable_csr_is_requested_again_with_another_letter(story: Story) -> None:
    story.open()
    story.submit()
    story.restore()
    ((spki,),) = story.world.rows("SELECT spki_sha256 FROM orders WHERE spki_sha256 IS NOT NULL")
    with story.world.begin() as tx:
        store.add_blocked_key(tx.conn, spki, "reported", tx.now)
    assert story.world.issue()
    seal_all(story.world)
    story.issue()
    assert story.world.announced_types(story.renewal.renewal_id)[-1] == "certificate-issued"


@pytest.mark.parametrize("forgotten", ["everything", "since the letters"])
def test_voided_pin_stays_void_and_each_letter_is_recorded(story: Story, forgotten: str) -> None:
    story.open()
    first = story.world.letters(story.renewal)
    if forgotten != "everything":
        story.back_up()
    story.world.reissue(story.renewal, NAME)
    seal_all(story.world)
    story.restore()
    seal_all(story.world)
    sealed = announced_data(story.world, story.renewal, "pin-envelope-sealed")
    mine = [each for each in sealed if each["server_name"] == NAME]
    assert [each.get("replaces") for each in mine] == [None, *(each["envelope_id"] for each in mine[:-1])]
    known = {str(each) for (each,) in story.world.rows("SELECT envelope_id FROM pins WHERE state <> 'planned'")}
    assert {each["envelope_id"] for each in sealed} <= known
    assert story.world.letters(story.renewal)[NAME] != first[NAME]
    story.issue()


def test_certificate_with_an_intent_is_restored_from_its_event(story: Story) -> None:
    with_a_waiting_intent(story, at=1)
    story.world.now += certificate_issuance.LEASE
    assert story.world.issue()
    before = story.state()
    assert story.restore().not_put_back == []
    assert story.state() == before
    assert not story.world.issue()
    assert crl_reasons(story.world) == {}, "its intent was ended only until its event was read"


def with_a_waiting_intent(story: Story, at: int | None = None) -> str:
    """Return the serial of an intent in the backup that waits for SCTs, or since a crash at this signature."""
    story.open()
    story.submit()
    if at is None:
        of_one_operator_only(story.world)
        with pytest.raises(NotEnoughSCTs):
            story.world.issue()
    else:
        with pytest.raises(Dies):
            dying = story.world.deps(signer=SignerThatDies(story.world, at))
            work.issue_next(story.world.pool, dying, clock=story.world.clock)
    story.back_up()
    story.world.transparency.sound()
    ((waiting,),) = story.world.rows("SELECT serial FROM intents")
    return str(waiting)


@pytest.mark.parametrize("at", [None, 1, 2], ids=["short of SCTs", "precertificate lost", "certificate lost"])
def test_certificate_whose_event_was_not_relayed_is_revoked_and_replaced(story: Story, at: int | None) -> None:
    waiting = with_a_waiting_intent(story, at)
    story.world.now += certificate_issuance.LEASE
    assert story.world.issue()
    assert story.world.rows("SELECT serial FROM certificates") == [(waiting,)]
    assert story.restore(relayed=False).not_put_back == []
    assert story.world.issue()
    assert story.world.announced_types(story.renewal.renewal_id)[-1] == "certificate-issued"
    assert story.world.rows("SELECT 1 FROM certificates WHERE serial = %s", waiting) == []
    assert crl_reasons(story.world) == {waiting: None}


def test_intent_that_was_ended_and_on_a_crl_stays_on_it(story: Story) -> None:
    waiting = with_a_waiting_intent(story)
    block_its_key(story)
    assert story.world.issue()
    assert crl_reasons(story.world).keys() == {waiting}
    assert story.restore().not_put_back == []
    assert not story.world.issue()
    assert story.world.rows("SELECT state FROM orders ORDER BY position") == [("refused",), ("awaiting-csr",)]
    assert crl_reasons(story.world).keys() == {waiting}


def test_intent_that_was_replaced_stays_revoked_beside_the_certificate(story: Story) -> None:
    waiting = with_a_waiting_intent(story)
    story.world.now += timedelta(days=2, minutes=1)
    assert story.world.issue()
    before = story.world.rows("SELECT serial FROM certificates")
    assert before != [(waiting,)]
    assert story.restore().not_put_back == []
    assert not story.world.issue()
    assert story.world.rows("SELECT serial FROM certificates") == before
    assert crl_reasons(story.world) == {waiting: None}


def test_intent_that_aged_before_its_renewal_was_withheld_is_never_signed(story: Story) -> None:
    waiting = with_a_waiting_intent(story)
    story.world.zone.records.clear()
    story.world.now += timedelta(days=201)
    assert story.world.issue()
    story.world.cancel(story.renewal)
    assert story.world.announced_types(story.renewal.renewal_id)[-1] == "issuance-withheld"
    assert story.restore().not_put_back == []
    assert not story.world.issue()
    assert story.world.rows("SELECT DISTINCT state FROM orders") == [("withheld",)]
    assert crl_reasons(story.world).keys() == {waiting}


def test_revocation_is_on_the_next_crl_whose_number_is_above_every_published_one(story: Story) -> None:
    assert publish(story.world)
    with pytest.raises(Dies):  # a CRL that waits for its signature would come out under its old number
        story.world.now += timedelta(hours=2)
        dying = replace(story.world.issuer, signer=SignerThatDies(story.world))
        work.publish_next_crl(story.world.pool, dying, clock=story.world.clock)
    story.back_up()
    story.open()
    revoked(story)
    assert publish(story.world)
    assert publish(story.world)
    published = number(story.world)
    story.restore()
    assert publish(story.world)
    assert number(story.world) > published
    assert latest(story.world).get_revoked_certificate_by_serial_number(serial(story.world, story.renewal)) is not None


def test_redelivered_cancellation_finds_the_certificate(story: Story) -> None:
    story.open()
    cancelled_too_late(story)
    story.restore()
    story.world.cancel(story.renewal)
    assert story.world.announced_types(story.renewal.renewal_id)[-1] == "cancellation-declined"
    assert story.world.rows("SELECT 1 FROM gates WHERE withheld_at IS NOT NULL") == []


def test_renewal_without_its_request_is_reported_and_restored_by_a_redrive(story: Story) -> None:
    story.open()
    revoked(story)
    before, events = story.state(), story.world.announced_types(story.renewal.renewal_id)
    ((number_in_world,),) = story.world.rows("SELECT serial FROM certificates")
    key = story.renewal.renewal_id
    assert story.restore(requested=False).not_put_back == [
        f"renewal {key}: its CSRRequested was not found; its orders are not open",
        f"renewal {key}: certificate {number_in_world} is not in the database",
    ]
    story.open()
    assert story.state() == before
    assert story.world.announced_types(story.renewal.renewal_id) == events
