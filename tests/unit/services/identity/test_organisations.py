"""Which spellings of an organisation's name are one name, when an e-Cert is compared with the register."""

import pytest

from services.identity import organisations
from services.identity.domain import Subscriber
from shared.vocabulary import SubscriberId
from tests.unit.services.identity.builders import Leaf, issue, name, world


def named(in_e_cert: str, on_file: str) -> bool:
    subscriber = Subscriber(
        id=SubscriberId("s"),
        name=on_file,
        name_zh=None,
        brn="12345678",
        country="HK",
        state_or_province=None,
        locality="Hong Kong",
    )
    return organisations.names(
        issue(world().sub, Leaf(subject=name("X", in_e_cert, "12345678"))).certificate, subscriber
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("為食有限公司", "爲食有限公司"),
        ("衞生署", "衛生署"),
        ("台灣茶莊", "臺灣茶莊"),
        ("羣力麪廠", "群力麵廠"),
        ("黃大仙祠", "黃大仙祠"),
        ("O’Brien Limited", "O'Brien Limited"),
        ("O´Brien Limited", "O'Brien Limited"),
        ("O＇BRIEN LIMITED", "O'Brien Limited"),
        ("“Star” Ltd", '"Star" Ltd'),
        ("Hong Kong–Macau Ferry", "Hong Kong-Macau Ferry"),
        ("Ｅｘａｍｐｌｅ　（ＨＫ）　Ｌｔｄ", "Example (HK) Ltd"),
        ("Example\u200b Limited", "Example Limited"),
        ("金\uf90a有限公司", "金金有限公司"),
        ("CHAN & SONS LIMITED", "Chan ＆ Sons  Limited"),
    ],
)
def test_variants_of_a_name_are_one_name(one: str, other: str) -> None:
    assert named(one, other)
    assert named(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("為食有限公司", "為食公司"),
        ("Chan & Sons Limited", "Chan Sons Limited"),
        ("O'Brien", "OBrien"),
        ("大文", "太文"),
        ("未來", "末來"),
    ],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert not named(one, other)


def test_each_variant_stands_in_one_group_alone() -> None:
    characters = "".join(organisations._SAME)

    assert len(set(characters)) == len(characters)
