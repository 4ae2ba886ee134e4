"""The samples are what identity and application read, and show every case that the demo needs."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deploy.local import samples
from deploy.local.people import CHAN
from deploy.local.pki import PKI
from services.application.importing import read_file as read_subscriptions
from services.identity.enrolment import read_file as read_enrolment
from shared.vocabulary import Product


def test_identity_and_application_can_read_the_samples(pki: PKI, now: datetime, tmp_path: Path) -> None:
    enrolment, subscriptions = samples.write(pki, tmp_path, now)
    people = [ar for each in read_enrolment(enrolment)["subscribers"] for ar in each["authorised_representatives"]]
    read = list(read_subscriptions(subscriptions))
    assert len(read) == 12
    assert {each.ar_id for each in read} <= {person["id"] for person in people}
    ends = sorted((each.not_after - now + timedelta(seconds=1)).days for each in read)
    assert {-3, 5, 20, 45, 150} <= set(ends)
    assert {each.standing for each in read} == {"active", "suspended", "revoked"}


@pytest.mark.parametrize("number", [0, 1, 300])
def test_one_person_can_renew_all_three_products_at_once(number: int) -> None:
    demo = samples.trio(number)
    assert {each.person for each in demo} == {CHAN}
    assert [each.product for each in demo] == [Product.STANDARD, Product.WILDCARD, Product.MULTI_DOMAIN]
    assert sum(len(each.server_names) for each in demo) == 5
    assert all(each.days_left > 7 and each.standing == "active" for each in demo)
    assert not {each.srn for each in demo} & {each.srn for each in samples.SUBSCRIPTIONS if each not in demo}


def test_samples_can_be_made_in_bulk_for_load_tests(pki: PKI, now: datetime) -> None:
    rows = samples.subscriptions(pki, samples.many(3), now)["subscriptions"]
    known = {each.srn for each in samples.SUBSCRIPTIONS}
    assert len({row["srn"] for row in rows} - known) == 3
