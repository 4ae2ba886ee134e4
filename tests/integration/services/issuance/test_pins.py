"""PINs: nobody gets a sixth guess, a slip costs nothing, and no PIN lies anywhere."""

import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.issuance import csr_intake, work
from services.issuance.ca.weak_keys import ListedKeys
from services.issuance.csr.csr import CSRRefused, NamesDiffer, PrivateKeyPasted
from services.issuance.csr.keys import KeyRefused
from services.issuance.domain import PIN
from services.issuance.pins import pins
from services.issuance.pins.pins import PINSlip, PINVerifier
from services.issuance.refusals import (
    KeyNotAllowed,
    OrderNotFound,
    PINLocked,
    PINNotReady,
    PINsMissing,
    PINWrong,
    WrongReference,
)
from shared.db import Pool
from shared.errors import Refused
from tests.integration.services.issuance.world import Renewal, World
from tests.support.engines import Database
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key, private_pem, rsa_key
from tests.unit.services.issuance.test_weak_keys import written


def guess() -> str:
    return pins.make(secrets.token_bytes)


def tries(world: World) -> list[int]:
    return [row[0] for row in world.rows("SELECT tries FROM pins WHERE state <> 'void' ORDER BY server_name")]


@pytest.mark.parametrize("spell", [str.lower, lambda r: r.replace("-", ""), lambda r: "\u200e" + r.replace("-", "–")])
def test_reference_is_accepted_in_every_typed_form(world: World, spell: Callable[[str], str]) -> None:
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal, reference=spell(renewal.items[0].reference))
    assert world.announced_types(renewal.renewal_id) == ["order-opened", "csr-received"]


def test_five_wrong_pins_lock_it_even_for_the_right_one(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(PINWrong) as refused:
            world.submit(renewal, pins={"www.example.hk": guess()})
        assert refused.value.extensions == {"wrong": [{"server_name": "www.example.hk", "tries_left": left}]}
    with pytest.raises(PINLocked):
        world.submit(renewal)
    assert world.announced_types(renewal.renewal_id) == ["order-opened"]


def test_twenty_concurrent_wrong_pins_get_at_most_five_attempts(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    commands = [world.submission(renewal, pins={"www.example.hk": guess()}) for _ in range(20)]
    outcomes: Counter[str] = Counter()
    begun = threading.Barrier(20)
    verifier = PINVerifier(world.pepper, max_concurrent=20)

    def submit(command: csr_intake.SubmitCSR) -> None:
        begun.wait()
        try:
            csr_intake.accept_csr(command, renewal.caller, world.begin, verifier=verifier, policy=world.policy)
        except Refused as refused:
            outcomes[type(refused).__name__] += 1

    threads = [threading.Thread(target=submit, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == {"PINWrong": 5, "PINLocked": 15}
    assert tries(world) == [5]


def test_right_pins_restore_their_attempts_even_beside_a_wrong_one(world: World) -> None:
    renewal = world.opened(["a.example.hk", "b.example.hk"])
    letters = world.letters(renewal)
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=letters | {"b.example.hk": guess()})
    assert tries(world) == [0, 1]
    world.submit(renewal)
    assert tries(world) == [0, 1]
    assert world.announced_types(renewal.renewal_id)[-1] == "csr-received"


def test_pin_is_valid_for_its_own_server_name_only(world: World) -> None:
    renewal = world.opened(["a.example.hk", "b.example.hk"])
    letters = world.letters(renewal)
    with pytest.raises(PINWrong):
        world.submit(renewal, pins={"a.example.hk": letters["b.example.hk"], "b.example.hk": letters["a.example.hk"]})


def test_bad_csr_or_mistyped_pin_uses_no_attempt(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    pin = world.letters(renewal)["www.example.hk"]
    slip = pin[:-1] + str((int(pin[-1]) + 1) % 10)
    wrong = {"www.example.hk": guess()}
    for refusal, fields in (
        (WrongReference, {"reference": "I-0"}),
        (CSRRefused, {"csr": "nonsense"}),
        (NamesDiffer, {"csr": as_pem(csr_der(names=["evil.example.hk"]))}),
        (KeyRefused, {"csr": as_pem(csr_der(ec_key(ec.SECP256K1())))}),
        (PrivateKeyPasted, {"csr": private_pem(ec_key())}),
        (PINSlip, {"pins": {"www.example.hk": slip}}),
        (PINsMissing, {"pins": {}}),
        (PINsMissing, {"pins": {"evil.example.hk": pin}}),
        (PINsMissing, {"pins": {"www.example.hk": pin, "not a name": pin}}),
    ):
        with pytest.raises(refusal):
            world.submit(renewal, **({"pins": wrong} | fields))
    assert tries(world) == [0]


def test_all_mistyped_pins_are_reported_at_once(world: World) -> None:
    renewal = world.opened(["a.example.hk", "b.example.hk", "c.example.hk"])
    pins = world.letters(renewal) | {"c.example.hk": "1", "a.example.hk": "12"}
    with pytest.raises(PINSlip) as refused:
        world.submit(renewal, pins=pins)
    assert refused.value.extensions == {"mistyped": ["a.example.hk", "c.example.hk"]}


def test_order_of_another_ar_is_not_found(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    for subscriber_id, ar_id in (("SUB-1", "AR-2"), ("SUB-2", "AR-1")):
        stranger = Renewal(items=renewal.items, renewal_id=renewal.renewal_id, subscriber_id=subscriber_id, ar_id=ar_id)
        with pytest.raises(OrderNotFound):
            world.submit(stranger)


def test_pin_not_yet_made_is_reported(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.reissue(renewal)
    with pytest.raises(PINNotReady):
        world.submit(renewal)


def test_reissued_pin_invalidates_the_old_one(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    old = world.letters(renewal)
    with pytest.raises(PINWrong):
        world.submit(renewal, pins={"www.example.hk": guess()})
    world.reissue(renewal)
    work.seal_next_pin(world.pool, world.maker, clock=world.clock)
    assert world.letters(renewal) != old
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=old)
    assert tries(world) == [1]
    world.submit(renewal)


def test_same_csr_again_gets_the_same_answer_and_another_is_refused(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    command = world.submission(renewal)
    for _ in range(2):
        csr_intake.accept_csr(command, renewal.caller, world.begin, verifier=world.verifier, policy=world.policy)
    with pytest.raises(Refused, match="csr-received"):
        world.submit(renewal)
    assert world.announced_types(renewal.renewal_id).count("csr-received") == 1


def test_pasted_private_key_is_blocked_permanently_and_its_certificates_revoked(world: World) -> None:
    key = rsa_key()
    first = world.opened(["www.example.hk"])
    world.submit(first, csr=as_pem(csr_der(key)))
    world.issue()
    second = world.opened(["b.example.hk"])
    with pytest.raises(PrivateKeyPasted):
        world.submit(second, csr=as_pem(csr_der(key)) + private_pem(key))
    assert world.announced_types(first.renewal_id)[-1] == "certificate-revoked"
    assert world.rows("SELECT revocation_reason FROM certificates") == [("keyCompromise",)]
    with pytest.raises(KeyNotAllowed) as refused:
        world.submit(second, csr=as_pem(csr_der(key)))
    assert refused.value.extensions == {"reason": "key-blocked"}


def test_key_is_not_used_for_two_orders_or_two_subscribers(pool: Pool) -> None:
    key = as_pem(csr_der(rsa_key()))
    world, lenient = World(pool), World(pool, allow_key_reuse=True)
    world.submit(world.opened(["www.example.hk"]), csr=key)
    with pytest.raises(KeyNotAllowed) as refused:
        world.submit(world.opened(["b.example.hk"]), csr=key)
    assert refused.value.extensions == {"reason": "key-used-before"}
    lenient.submit(lenient.opened(["c.example.hk"]), csr=key)
    with pytest.raises(KeyNotAllowed) as refused:
        lenient.submit(lenient.opened(["d.example.hk"], subscriber_id="SUB-2", ar_id="AR-2"), csr=key)
    assert refused.value.extensions == {"reason": "key-of-another-subscriber"}


def test_weak_key_is_refused_and_discarded_if_listed_later(world: World, tmp_path: Path) -> None:
    key = ec_key(ec.SECP384R1())
    listed = ListedKeys.load(written(tmp_path / "list", [key]))
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal, csr=as_pem(csr_der(key)))
    world.policy = replace(world.policy, weak_keys=listed)
    assert world.issue()
    assert world.rows("SELECT state, refusal FROM orders") == [("awaiting-csr", "key-weak")]
    with pytest.raises(KeyNotAllowed) as refused:
        world.submit(renewal, csr=as_pem(csr_der(key)))
    assert refused.value.extensions == {"reason": "key-weak"}
    world.submit(renewal, csr=as_pem(csr_der(ec_key())))
    assert tries(world) == [0]


def test_cas_own_key_is_refused(world: World) -> None:
    with pytest.raises(KeyNotAllowed):
        world.submit(world.opened(["www.example.hk"]), csr=as_pem(csr_der(rsa_key(3072, 7))))


def test_pin_is_nowhere_in_the_database(world: World, issuance: Database) -> None:
    renewal = world.opened(["a.example.hk", "b.example.hk"])
    letters = world.letters(renewal)
    with pytest.raises(PINWrong):
        world.submit(renewal, pins=letters | {"a.example.hk": guess()})
    world.submit(renewal)
    world.issue()
    with psycopg.connect(issuance.superuser_url) as conn:
        tables = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        dump = {t: str(conn.execute(f'SELECT * FROM "{t}"'.encode()).fetchall()) for (t,) in tables.fetchall()}
        logged = conn.execute("SELECT string_agg(encode(data, 'escape'), '') FROM outbox").fetchone()
    assert {"pins", "outbox", "audit_log"} <= set(dump)
    whole = json.dumps(dump) + str(logged)
    assert renewal.items[0].reference in whole
    for pin in letters.values():
        for form in (pin, pins.for_print(pin), pin[:15]):
            assert form not in whole


def test_crash_while_sealing_leaves_the_pin_to_be_made(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    world.reissue(renewal)

    class Dies(BaseException):
        pass

    class Broken(pins.Pepper):
        def hash(self, envelope_id: UUID, pin: str, random: pins.Random) -> str:
            raise Dies

    broken = work.PINMaker(pepper=Broken(b"p" * 32), print_certificate=world.maker.print_certificate)
    with pytest.raises(Dies):
        work.seal_next_pin(world.pool, broken, clock=world.clock)
    assert world.rows("SELECT count(*) FROM outbox WHERE topic = 'issuance.pin-envelopes'") == [(1,)]
    world.now += timedelta(seconds=11)
    assert work.seal_next_pin(world.pool, world.maker, clock=world.clock)
    assert not work.seal_next_pin(world.pool, world.maker, clock=world.clock)
    world.submit(renewal)


def test_concurrent_identical_submissions_are_received_once(world: World) -> None:
    renewal = world.opened(["www.example.hk"])
    command = world.submission(renewal)

    class BothAtOnce(PINVerifier):
        """Lets nobody on before both have consumed their attempts."""

        both = threading.Barrier(2)

        def verify(self, found: Mapping[str, PIN], typed: Mapping[str, str]) -> set[str]:
            self.both.wait(10)
            return super().verify(found, typed)

    verifier = BothAtOnce(world.pepper)
    answers: list[str] = []

    def submit() -> None:
        order = csr_intake.accept_csr(command, renewal.caller, world.begin, verifier=verifier, policy=world.policy)
        answers.append(order.state)

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == ["csr-received"] * 2
    assert world.announced_types(renewal.renewal_id).count("csr-received") == 1
    assert tries(world) == [0]
