"""Random values, where they go, and what proves control of a domain."""

import re
import secrets
from functools import partial

import pytest

from services.issuance.dcv import methods
from shared.pki.observations import Kind, Observation, Outcome, Question, Reason

VALUE = "abcdefghijklmnopqrstuvwxyz234567"
SUFFIX = "dcv.ca.example"


def seen(kind: Kind, *values: str) -> Observation:
    return Observation(kind=kind, name="_validation.shop.hk", outcome=Outcome.FOUND, values=values)


def test_random_value_fits_a_dns_label_and_has_160_bits() -> None:
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return secrets.token_bytes(count)

    assert re.fullmatch(r"[a-z2-7]{32}", methods.random_value(random))
    assert asked == [20]


def test_random_value_keeps_every_bit() -> None:
    values = {methods.random_value(partial(int.to_bytes, number, byteorder="big")) for number in range(1000)}
    assert len(values) == 1000


def test_instructions_name_each_place() -> None:
    assert methods.instructions("shop.hk", VALUE, cname_suffix=SUFFIX) == methods.Instructions(
        record_name="_validation.shop.hk",
        txt_value=VALUE,
        cname_target=f"{VALUE}.dcv.ca.example",
        file_url="http://shop.hk/.well-known/pki-validation/ecert.txt",
        file_content=VALUE,
    )


def test_name_without_room_for_a_record_can_be_proved_by_a_file_only() -> None:
    name = ".".join(["a" * 62] * 3 + ["b" * 60])
    assert len(name) > 241
    assert methods.instructions(name, VALUE, cname_suffix=SUFFIX).record_name is None


@pytest.mark.parametrize(
    "observation",
    [
        seen(Kind.TXT, VALUE),
        seen(Kind.TXT, "v=spf1 -all", VALUE),
        seen(Kind.TXT, f" {VALUE} "),
        seen(Kind.CNAME, f"{VALUE}.dcv.ca.example"),
        seen(Kind.CNAME, f"{VALUE}.DCV.ca.example".upper()),
        seen(Kind.FILE, VALUE),
        seen(Kind.FILE, f"{VALUE}\r\n"),
        seen(Kind.FILE, f"\\239\\187\\191{VALUE}\r\n"),
    ],
)
def test_value_in_its_place_proves_control(observation: Observation) -> None:
    assert methods.proves(observation, VALUE, cname_suffix=SUFFIX)


@pytest.mark.parametrize(
    "observation",
    [
        seen(Kind.TXT, VALUE.upper()),
        seen(Kind.TXT, VALUE[:-1]),
        seen(Kind.TXT, f"ecert={VALUE}"),
        seen(Kind.TXT, f'"{VALUE}"'),
        seen(Kind.TXT, f"{VALUE[:16]} {VALUE[16:]}"),
        seen(Kind.TXT, ""),
        seen(Kind.CNAME, VALUE),
        seen(Kind.CNAME, f"{VALUE}.shop.hk"),
        seen(Kind.CNAME, f"x.{VALUE}.dcv.ca.example"),
        seen(Kind.CNAME, f"{VALUE}.dcv.ca.example.shop.hk"),
        seen(Kind.FILE, f"<html>{VALUE}</html>"),
        seen(Kind.FILE, f"{VALUE}\n{VALUE}"),
        seen(Kind.CAA, VALUE),
        Observation(kind=Kind.TXT, name="_validation.shop.hk", outcome=Outcome.ABSENT),
        Observation(kind=Kind.TXT, name="_validation.shop.hk", outcome=Outcome.FAILED, reason=Reason.BOGUS),
        Observation(kind=Kind.TXT, name="_validation.shop.hk", outcome=Outcome.FAILED, values=(VALUE,)),
    ],
)
def test_anything_else_proves_nothing(observation: Observation) -> None:
    assert not methods.proves(observation, VALUE, cname_suffix=SUFFIX)


@pytest.mark.parametrize(
    ("method", "name", "covered"),
    [
        ("7", "shop.hk", True),
        ("7", "www.shop.hk", True),
        ("7", "a.b.shop.hk", True),
        ("7", "*.shop.hk", True),
        ("7", "*.www.shop.hk", True),
        ("7", "hk", False),
        ("7", "workshop.hk", False),
        ("7", "*.hk", False),
        ("7", "*.workshop.hk", False),
        ("7", "shop.hk.example.com", False),
        ("18", "shop.hk", True),
        ("18", "www.shop.hk", False),
        ("18", "*.shop.hk", False),
        ("4", "shop.hk", False),
        ("", "shop.hk", False),
    ],
)
def test_method_covers_as_much_as_the_requirements_allow(method: str, name: str, covered: bool) -> None:
    assert methods.covers(method, "shop.hk", name) is covered


def test_record_name_is_one_that_can_be_asked() -> None:
    assert Question(Kind.TXT, methods.record_name("shop.hk")).name == "_validation.shop.hk"
