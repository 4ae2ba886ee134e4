"""The set of perspectives and the quorum: tables of Baseline Requirements 3.2.2.9, to the second and the kilometre."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from services.issuance.dcv.quorum import (
    MAX_FILE_BYTES,
    MAX_PERSPECTIVES,
    PerspectiveSet,
    Place,
    Quorum,
    SetRefused,
)
from shared.pki.dated_rules import NothingInForce

FIVE_FROM: Final = datetime(2026, 12, 15, tzinfo=UTC)
BEFORE: Final = FIVE_FROM - timedelta(seconds=1)
# Degrees of latitude that are 500 km, on the mean sphere.
FIVE_HUNDRED_KM: Final = 4.49661
PLACES: Final = {
    "hkg": (22.3193, 114.1694, "APNIC"),
    "sin": (1.3521, 103.8198, "APNIC"),
    "fra": (50.1109, 8.6821, "RIPE"),
    "iad": (39.0438, -77.4874, "ARIN"),
    "gru": (-23.5505, -46.6333, "LACNIC"),
    "jnb": (-26.2041, 28.0473, "AFRINIC"),
    "syd": (-33.8688, 151.2093, "APNIC"),
    "nrt": (35.7720, 140.3929, "APNIC"),
    "bom": (19.0760, 72.8777, "APNIC"),
}


def entry(name: str, **changes: Any) -> dict[str, Any]:
    latitude, longitude, rir = PLACES.get(name, (0, 0, "APNIC"))
    role = "primary" if name == "hkg" else "remote"
    url = f"https://{name}.perspectives.example"
    found = {"name": name, "role": role, "url": url, "rir": rir, "latitude": latitude, "longitude": longitude}
    return found | changes


def entries(*names: str) -> list[dict[str, Any]]:
    return [entry(each) for each in ("hkg", *names)]


def made(*names: str) -> PerspectiveSet:
    return PerspectiveSet.parse(json.dumps(entries(*names)).encode())


FIVE: Final = made("sin", "fra", "iad", "gru", "jnb")
FOUR: Final = made("sin", "fra", "iad", "gru")
SIX: Final = made("sin", "fra", "iad", "gru", "jnb", "syd")
ONE_REGION: Final = made("sin", "syd", "nrt", "bom")
TWO_REGIONS: Final = made("sin", "syd", "nrt", "bom", "fra")


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (Place(0, 0), Place(0, 0), 0),
        (Place(0, 0), Place(0, 180), 20_015),
        (Place(90, 0), Place(-90, 77), 20_015),
        (Place(0, 179.5), Place(0, -179.5), 111.2),
        (Place(22.3193, 114.1694), Place(1.3521, 103.8198), 2_587),
        (Place(50.1109, 8.6821), Place(39.0438, -77.4874), 6_547),
    ],
)
def test_distance_of_two_places_is_the_great_circle(one: Place, other: Place, km: float) -> None:
    assert one.distance_km(other) == pytest.approx(km, rel=0.005)
    assert one.distance_km(other) == other.distance_km(one)


@pytest.mark.parametrize(
    ("perspectives", "at"),
    [
        (FOUR, BEFORE),
        (FIVE, BEFORE),
        (FIVE, FIVE_FROM),
        (FIVE, datetime(2029, 3, 15, tzinfo=UTC)),
        (SIX, FIVE_FROM),
        (TWO_REGIONS, FIVE_FROM),
        (made("sin", "fra", "iad"), datetime(2026, 6, 14, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_set_within_the_rules_of_the_day_is_accepted(perspectives: PerspectiveSet, at: datetime) -> None:
    perspectives.check(at)


@pytest.mark.parametrize(
    ("perspectives", "at", "text"),
    [
        (FOUR, FIVE_FROM, "4 remote perspectives: at least 5"),
        # The same instant on a clock of Hong Kong: the day is UTC's.
        (FOUR, FIVE_FROM.astimezone(), "4 remote perspectives: at least 5"),
        (made("sin", "fra", "iad"), BEFORE, "3 remote perspectives: at least 4"),
        (made("sin", "fra", "iad"), datetime(2026, 6, 15, tzinfo=UTC), "3 remote perspectives: at least 4"),
        (made(), BEFORE, "0 remote perspectives"),
        (ONE_REGION, BEFORE, "fewer than 2 regions"),
    ],
)
def test_set_outside_the_rules_of_the_day_is_refused(perspectives: PerspectiveSet, at: datetime, text: str) -> None:
    with pytest.raises(SetRefused, match=text):
        perspectives.check(at)


@pytest.mark.parametrize("pair", [("sin", "fra"), ("hkg", "sin")])
def test_resolvers_nearer_than_500_km_are_refused_and_those_further_apart_are_not(pair: tuple[str, str]) -> None:
    still, moved = pair
    latitude, longitude, _ = PLACES[still]
    for degrees, refused in ((FIVE_HUNDRED_KM - 0.001, True), (FIVE_HUNDRED_KM + 0.001, False)):
        place = {"latitude": latitude + degrees, "longitude": longitude}
        changed = [each | ({"resolver": place} if each["name"] == moved else {}) for each in entries(*FIVE.remotes)]
        found = PerspectiveSet.parse(json.dumps(changed).encode())
        if refused:
            with pytest.raises(SetRefused, match=f"{still} and {moved} are 500 km apart"):
                found.check(BEFORE)
        else:
            found.check(BEFORE)


def test_resolver_elsewhere_is_measured_instead_of_its_perspective() -> None:
    near = entry("fra", latitude=1.3, longitude=103.8)
    place = {"latitude": PLACES["fra"][0], "longitude": PLACES["fra"][1]}
    others = entries("sin", "iad", "gru", "jnb")
    PerspectiveSet.parse(json.dumps([*others, near | {"resolver": place}]).encode()).check(FIVE_FROM)
    with pytest.raises(SetRefused, match="sin and fra are"):
        PerspectiveSet.parse(json.dumps([*others, near]).encode()).check(FIVE_FROM)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not JSON"),
        (b"{}", "not a list"),
        (b"[1]", "Invalid input type"),
        (b"[" * 30_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b" " * (MAX_FILE_BYTES + 1), "more than"),
        (json.dumps([entry("hkg")] * (MAX_PERSPECTIVES + 1)).encode(), "not a list of at most"),
        (json.dumps([]).encode(), "exactly one"),
        (json.dumps([entry("sin"), entry("fra")]).encode(), "exactly one"),
        (json.dumps([entry("hkg"), entry("sin", role="primary")]).encode(), "exactly one"),
        (json.dumps(entries("sin", "sin")).encode(), "same name"),
        (json.dumps([*entries("sin"), entry("fra", url=entry("sin")["url"])]).encode(), "same url"),
        *(
            (json.dumps([*entries("sin"), entry("fra") | wrong]).encode(), "|".join(wrong))
            for wrong in (
                {"name": "Frankfurt"},
                {"name": "a" * 33},
                {"name": "fra\n"},
                {"role": "second"},
                {"url": "http://fra.perspectives.example"},
                {"url": "fra"},
                {"address": "127.0.0.1"},
                {"rir": "RIPE NCC"},
                {"latitude": 91},
                {"latitude": float("nan")},
                {"longitude": "-181"},
                {"longitude": None},
                {"resolver": {"latitude": 1}},
                {"unknown": 1},
            )
        ),
    ],
)
def test_file_of_another_form_is_refused(content: bytes, text: str) -> None:
    with pytest.raises(SetRefused, match=text):
        PerspectiveSet.parse(content)


@pytest.mark.parametrize("name", ["name", "role", "url", "rir", "latitude", "longitude"])
def test_entry_without_a_field_is_refused(name: str) -> None:
    short = {key: value for key, value in entry("fra").items() if key != name}
    with pytest.raises(SetRefused, match=name):
        PerspectiveSet.parse(json.dumps([*entries("sin"), short]).encode())


def test_address_of_an_entry_is_host_and_port() -> None:
    found = PerspectiveSet.parse(json.dumps([entry("hkg", address="127.0.0.1:9501")]).encode())
    assert found.primary.address == ("127.0.0.1", 9501)


@pytest.mark.parametrize(
    ("perspectives", "primary", "without", "at", "text", "reason"),
    [
        (FIVE, True, "", BEFORE, "5/5", None),
        (FIVE, True, "jnb", FIVE_FROM, "4/5", None),
        (FIVE, True, "jnb gru", FIVE_FROM, "3/5", "remotes"),
        (FIVE, True, "sin fra iad gru jnb", FIVE_FROM, "0/5", "remotes"),
        (FIVE, False, "", FIVE_FROM, "5/5", "primary"),
        (FOUR, True, "", BEFORE, "4/4", None),
        (FOUR, True, "gru", BEFORE, "3/4", None),
        (FOUR, True, "gru iad", BEFORE, "2/4", "remotes"),
        (FOUR, True, "", FIVE_FROM, "4/4", "too-few-perspectives"),
        (SIX, True, "syd", FIVE_FROM, "5/6", None),
        (SIX, True, "syd jnb", FIVE_FROM, "4/6", None),
        (SIX, True, "syd jnb gru", FIVE_FROM, "3/6", "remotes"),
        (TWO_REGIONS, True, "", FIVE_FROM, "5/5", None),
        (TWO_REGIONS, True, "sin", FIVE_FROM, "4/5", None),
        # The only one of the other region: four corroborate, all of one region.
        (TWO_REGIONS, True, "fra", FIVE_FROM, "4/5", "regions"),
    ],
)
def test_quorum_follows_number_and_regions_of_those_that_corroborate(
    perspectives: PerspectiveSet, primary: bool, without: str, at: datetime, text: str, reason: str | None
) -> None:
    remotes = {name: name not in without.split() for name in perspectives.remotes}
    found = perspectives.corroborated(primary, remotes, at)
    assert (found.text, found.reason, found.corroborated) == (text, reason, reason is None)


def test_remote_that_was_not_asked_counts_against_and_unknown_one_for_nothing() -> None:
    asked = dict.fromkeys(("sin", "fra", "iad", "gru"), True)
    assert FIVE.corroborated(True, asked, BEFORE) == Quorum(corroborated=True, text="4/4", reason=None)
    assert SIX.corroborated(True, asked | {"jnb": True}, FIVE_FROM).text == "5/5"
    strangers = {"sin": True, "fra": True, "iad": True, "gru": False, "hkg": True, "mars": True}
    assert FIVE.corroborated(True, strangers, BEFORE).reason == "remotes"


def test_answers_of_fewer_remotes_than_required_do_not_suffice_once_another_has_joined() -> None:
    asked = dict.fromkeys(FOUR.remotes, True)
    found = FIVE.corroborated(True, asked, FIVE_FROM)
    assert found == Quorum(corroborated=False, text="4/4", reason="too-few-perspectives")


@pytest.mark.parametrize("value", [1, "yes", None])
def test_only_true_corroborates(value: Any) -> None:
    remotes = dict.fromkeys(FIVE.remotes, value)
    assert FIVE.corroborated(True, remotes, FIVE_FROM).text == "0/5"
    assert FIVE.corroborated(value, dict.fromkeys(FIVE.remotes, True), FIVE_FROM).reason == "primary"


def test_time_before_any_rule_is_refused() -> None:
    with pytest.raises(NothingInForce):
        FIVE.check(datetime(2026, 3, 14, 23, 59, 59, tzinfo=UTC))
