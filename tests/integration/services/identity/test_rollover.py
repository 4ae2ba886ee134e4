"""Rollover of an e-Cert: the successor of a registered one is registered at its first sign-in, anything else is not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from flask.testing import FlaskClient

from services.identity import enrolment, examining
from shared.db import Pool
from shared.events.identity import ECertRolledOver
from shared.messaging import codec
from shared.pki.certificates import sha256
from shared.tx import transaction
from shared.vocabulary import ARId
from shared.web.auth import caller_of
from tests.integration.services.identity.conftest import (
    CHAN,
    KEYS,
    ORGANISATION,
    TRUST,
    Clock,
    ar,
    e_cert,
    people,
    sign_in,
    take_crls,
)
from tests.support.problems import full_problem
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import NOW, ORGANISATIONAL, Holder, Leaf, issue, name, world

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")
LATER: dict[str, Any] = {"not_before": NOW - timedelta(days=1), "not_after": NOW + timedelta(days=364)}


def renewed(person: str = "CHAN Tai Man", **changes: Any) -> Holder:
    """Return a later e-Cert, with a key of its own."""
    return e_cert(person, **LATER | {"key": builders.rsa_key("renewed")} | changes)


def of_srn(srn: str, person: str = "CHAN Tai Man") -> Holder:
    units = (srn, "12345678" + "0" * 24, "Hongkong Post e-Cert (Organisational)", "Head Office")
    return issue(
        world().sub, Leaf(subject=name(person, ORGANISATION, *units), key=builders.rsa_key("renewed"), **LATER)
    )


def rolled_over(pool: Pool) -> list[Any]:
    with pool.connection() as conn:
        return conn.execute(
            "SELECT actor, subject, details FROM audit_log WHERE action = 'certificate-rolled-over'"
        ).fetchall()


def test_renewed_e_cert_signs_its_ar_in_and_the_earlier_one_still_does(http: FlaskClient, pool: Pool) -> None:
    after = renewed()
    answer = sign_in(http, after)
    assert answer.json is not None
    caller = caller_of(f"Bearer {answer.json['access_token']}", keys=KEYS, now=NOW)
    assert (caller.ar_id, caller.subscriber_id) == ("chan", "example")
    assert caller.certificate_sha256 == sha256(after.certificate)
    assert sign_in(http, after).status_code == sign_in(http, CHAN).status_code == 200
    details = {"sha256": sha256(after.certificate), "renews": sha256(CHAN.certificate)}
    assert rolled_over(pool) == [("chan", "chan", details)]
    with pool.connection() as conn:
        ((data,),) = conn.execute("SELECT data FROM outbox WHERE topic = 'identity.register'").fetchall()
    event = codec.decode_data(bytes(data), ECertRolledOver)
    assert (event.ar_id, event.serial) == ("chan", f"{after.certificate.serial_number:x}")
    # The addresses of the register, never one that the e-Cert names.
    assert [each.email for each in event.recipients] == ["chan@example.hk", "wong@example.hk"]


def test_e_cert_that_renews_an_expired_one_is_registered(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    clock.now = CHAN.certificate.not_valid_after_utc + timedelta(days=5)
    lists = [
        builders.make_crl(ca, builders.CRL(number=2, this_update=clock.now, next_update=clock.now + timedelta(1)))
        for ca in (world().root, world().sub)
    ]
    take_crls(pool, clock, *lists)
    assert sign_in(http, CHAN).status_code == 403
    assert sign_in(http, renewed()).status_code == 200


def test_chain_of_renewals_is_followed(http: FlaskClient, pool: Pool) -> None:
    for day in (1, 2, 3):
        later = renewed(not_after=NOW + timedelta(days=363 + day), not_before=NOW - timedelta(hours=10 - day))
        assert sign_in(http, later).status_code == 200
    assert len(rolled_over(pool)) == 3


def test_simultaneous_first_sign_ins_register_once(http: FlaskClient, pool: Pool) -> None:
    after = renewed()
    with ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(lambda _: sign_in(http.application.test_client(), after).status_code, range(8))]
    assert answers == [200] * 8
    assert len(rolled_over(pool)) == 1


OTHERS: dict[str, Callable[[], Holder]] = {
    "another person": lambda: renewed("HO Chi Wai"),
    "another SRN": lambda: of_srn("0007654321"),
    "no SRN": lambda: of_srn("Sales"),
    "an SRN that is the organisation's number": lambda: of_srn("0012345678"),
    "another organisation": lambda: renewed(organisation="Other Company Limited", brn="87654321"),
    "another organisation's number": lambda: renewed(brn="87654321"),
    "another organisation's name": lambda: renewed(organisation="Other Company Limited"),
    "another CA": lambda: renewed(
        by=world().sibling, policies=(ORGANISATIONAL, ObjectIdentifier("2.16.344.8.2.2008.810.2.2012.1.0"))
    ),
    "older": lambda: renewed(not_before=NOW - timedelta(days=100), not_after=NOW + timedelta(days=100)),
    "later begun, earlier ended": lambda: renewed(not_after=NOW + timedelta(days=100)),
    "earlier begun, later ended": lambda: renewed(not_before=NOW - timedelta(days=100)),
    "of the same time": lambda: e_cert("CHAN Tai Man"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_e_cert_that_differs_from_the_registered_one_is_refused(http: FlaskClient, pool: Pool, case: str) -> None:
    assert full_problem(sign_in(http, OTHERS[case]()))[:2] == (403, "not-enrolled")
    assert rolled_over(pool) == []


@pytest.mark.parametrize("reason", [None, x509.ReasonFlags.certificate_hold])
def test_e_cert_that_renews_a_listed_one_is_refused(http: FlaskClient, pool: Pool, clock: Clock, reason: Any) -> None:
    revoked = builders.CRL(number=2, revoked=(CHAN.certificate.serial_number,), reason=reason)
    take_crls(pool, clock, builders.make_crl(world().sub, revoked))
    assert full_problem(sign_in(http, renewed()))[:2] == (403, "not-enrolled")
    assert rolled_over(pool) == []


def test_renewed_e_cert_of_an_ended_office_is_refused(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    after = renewed()
    assert sign_in(http, after).status_code == 200
    with transaction(pool, clock=clock) as tx:
        enrolment.revoke(tx, ARId("chan"), "left", "operator")
    later = renewed(not_after=NOW + timedelta(days=365), not_before=NOW)
    for holder in (CHAN, after, later):
        assert full_problem(sign_in(http, holder))[:2] == (403, "not-enrolled")
    # Appointed again under a new id: what was withdrawn does not come back.
    content = people()
    content["subscribers"][0]["authorised_representatives"] = [ar("chan2", "CHAN Tai Man", later)]
    enrolment.enrol(pool, content, "test", clock=clock)
    for holder in (CHAN, after):
        assert full_problem(sign_in(http, holder))[:2] == (403, "not-enrolled")


def test_e_cert_after_a_change_of_the_organisations_name_is_refused(
    http: FlaskClient, pool: Pool, clock: Clock
) -> None:
    content = people()
    content["subscribers"][0]["name"] = "New Name Limited"
    enrolment.enrol(pool, content, "test", clock=clock)
    assert full_problem(sign_in(http, renewed(organisation="New Name Limited")))[:2] == (403, "not-enrolled")


def test_e_cert_that_could_be_of_two_ars_is_refused(http: FlaskClient, pool: Pool, clock: Clock) -> None:
    content = people()
    twin = ar("twin", "CHAN Tai Man", e_cert("CHAN Tai Man", key=builders.rsa_key("twin")))
    content["subscribers"][0]["authorised_representatives"].append(twin)
    enrolment.enrol(pool, content, "test", clock=clock)
    assert full_problem(sign_in(http, renewed()))[:2] == (403, "not-enrolled")


def test_examination_of_a_renewed_e_cert_is_good_and_registers_nothing(pool: Pool, clock: Clock) -> None:
    with transaction(pool, clock=clock) as tx:
        assert examining.examine(tx, renewed().certificate, trust=TRUST).good
        assert not examining.examine(tx, of_srn("0007654321").certificate, trust=TRUST).good
        assert tx.conn.execute("SELECT count(*) FROM ar_certificates").fetchone() == (3,)
