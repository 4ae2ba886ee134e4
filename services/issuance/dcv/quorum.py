"""Set of perspectives, and the quorum of those that corroborate the primary one (Baseline Requirements 3.2.2.9)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from shared.errors import Refused
from shared.pki.dated_rules import Dated

MAX_FILE_BYTES: Final = 64 * 1024
MAX_PERSPECTIVES: Final = 32
MIN_DISTANCE_KM: Final = 500
MIN_REGIONS: Final = 2
# Remote perspectives that must be asked, at least, by the day of the attempt.
MIN_REMOTES: Final = Dated(((date(2026, 3, 15), 3), (date(2026, 6, 15), 4), (date(2026, 12, 15), 5)))
# From this number of remote perspectives on, two of them may fail to corroborate; below it, one.
_MANY_REMOTES: Final = 6
# The sphere of the Earth's mean radius is within 0.6 % of the ellipsoid.
_EARTH_RADIUS_KM: Final = 6371.0088


class Role(StrEnum):
    """Roles of a perspective."""

    PRIMARY = "primary"
    REMOTE = "remote"


class Region(StrEnum):
    """Service regions of the Regional Internet Registries."""

    AFRINIC = "AFRINIC"
    APNIC = "APNIC"
    ARIN = "ARIN"
    LACNIC = "LACNIC"
    RIPE = "RIPE"


class SetRefused(Refused):
    """The set of perspectives is unreadable, or not one that the Baseline Requirements allow at that time."""

    reason = "perspectives-refused"


@dataclass(frozen=True)
class Place:
    """A point on the Earth, in degrees."""

    latitude: float
    longitude: float

    def distance_km(self, other: "Place") -> float:
        """Return the great-circle distance (haversine)."""
        north, far_north = radians(self.latitude), radians(other.latitude)
        east = radians(other.longitude - self.longitude)
        chord = sin((far_north - north) / 2) ** 2 + cos(north) * cos(far_north) * sin(east / 2) ** 2
        return 2 * _EARTH_RADIUS_KM * asin(sqrt(min(chord, 1)))


@dataclass(frozen=True, kw_only=True)
class Perspective:
    """A perspective: its URL and region, and the place of its resolver, by which distances are measured.

    `address` (host, port) replaces a host name that does not resolve here.
    """

    name: str
    role: Role
    url: str
    address: tuple[str, int] | None = None
    region: Region
    resolver: Place


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """An outcome: `text` is how many of the remote perspectives that were asked corroborate, such as "4/5" (BR 5.4.1).

    `reason` says what is missing for corroboration: "primary", "too-few-perspectives", "remotes" or "regions".
    """

    corroborated: bool
    text: str
    reason: str | None


@dataclass(frozen=True)
class PerspectiveSet:
    """One primary perspective and its remote ones, each name once."""

    perspectives: tuple[Perspective, ...]

    def __post_init__(self) -> None:
        """Check the roles and names. Raises SetRefused."""
        if [each.role for each in self.perspectives].count(Role.PRIMARY) != 1:
            raise SetRefused("exactly one perspective must be the primary one")
        for field in ("name", "url"):
            if len({getattr(each, field) for each in self.perspectives}) < len(self.perspectives):
                raise SetRefused(f"two perspectives have the same {field}")

    @classmethod
    def parse(cls, content: bytes) -> "PerspectiveSet":
        """Return the set that a JSON file describes. Raises SetRefused."""
        if len(content) > MAX_FILE_BYTES:
            raise SetRefused(f"more than {MAX_FILE_BYTES} bytes")
        try:
            found = json.loads(content)
            if not isinstance(found, list) or len(found) > MAX_PERSPECTIVES:
                raise SetRefused(f"not a list of at most {MAX_PERSPECTIVES} perspectives")
            return cls(tuple(_PerspectiveSchema(many=True).load(found)))
        except ValidationError as error:
            raise SetRefused(f"{error.messages}") from error
        except (ValueError, RecursionError) as error:
            raise SetRefused(f"not JSON: {error}") from error

    @cached_property
    def primary(self) -> Perspective:
        """The primary perspective."""
        return next(each for each in self.perspectives if each.role is Role.PRIMARY)

    @cached_property
    def remotes(self) -> Mapping[str, Perspective]:
        """The remote perspectives, by name."""
        return {each.name: each for each in self.perspectives if each.role is Role.REMOTE}

    def check(self, at: datetime) -> None:
        """Check that certificates may be issued by this set at that time. Raises SetRefused."""
        least = MIN_REMOTES.at(at)
        if len(self.remotes) < least:
            raise SetRefused(f"{len(self.remotes)} remote perspectives: at least {least} are required")
        for one, other in combinations(self.perspectives, 2):
            apart = one.resolver.distance_km(other.resolver)
            if apart < MIN_DISTANCE_KM:
                names = f"{one.name} and {other.name}"
                raise SetRefused(f"{names} are {apart:.0f} km apart: at least {MIN_DISTANCE_KM} km are required")
        if len({each.region for each in self.remotes.values()}) < MIN_REGIONS:
            raise SetRefused(f"the remote perspectives are in fewer than {MIN_REGIONS} regions")

    def corroborated(self, primary: bool, remotes: Mapping[str, bool], at: datetime) -> Quorum:
        """Return whether enough remote perspectives saw the same as the primary one.

        `primary` and `remotes`, by name, say whether each that was asked saw what was asked for. A remote perspective
        without an entry was not asked, such as one that has joined the set since: it does not corroborate, and the
        others alone must be as many as are required. An entry of a name outside the set counts for nothing.
        """
        asked = [each for name, each in self.remotes.items() if name in remotes]
        corroborating = [each for each in asked if remotes[each.name] is True]
        reason = self._missing(primary, len(asked), corroborating, at)
        return Quorum(corroborated=reason is None, text=f"{len(corroborating)}/{len(asked)}", reason=reason)

    def _missing(self, primary: bool, asked: int, corroborating: list[Perspective], at: datetime) -> str | None:
        if primary is not True:
            return "primary"
        if asked < MIN_REMOTES.at(at):
            return "too-few-perspectives"
        if len(self.remotes) - len(corroborating) > (2 if len(self.remotes) >= _MANY_REMOTES else 1):
            return "remotes"
        if len({each.region for each in corroborating}) < MIN_REGIONS:
            return "regions"
        return None


class _PlaceSchema(Schema):
    class Meta:
        """Refuses unknown fields."""

        unknown = RAISE

    latitude = fields.Float(required=True, validate=validate.Range(-90, 90))
    longitude = fields.Float(required=True, validate=validate.Range(-180, 180))


class _PerspectiveSchema(_PlaceSchema):
    """Entry of the file: the place is the perspective's; `resolver` is its resolver's, if that is elsewhere."""

    name = fields.String(required=True, validate=validate.Regexp(r"[a-z0-9-]{1,32}\Z"))
    role = fields.Enum(Role, by_value=True, required=True)
    url = fields.URL(required=True, schemes={"https"}, require_tld=False)
    address = fields.String(load_default=None, validate=validate.Regexp(r"[0-9a-z.-]{1,253}:[0-9]{1,5}\Z"))
    rir = fields.Enum(Region, by_value=True, required=True)
    resolver = fields.Nested(_PlaceSchema, load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Perspective:
        place = data["resolver"] or data
        address = None
        if data["address"] is not None:
            host, port = data["address"].split(":")
            address = (host, int(port))
        return Perspective(
            name=data["name"],
            role=data["role"],
            url=data["url"],
            address=address,
            region=data["rir"],
            resolver=Place(place["latitude"], place["longitude"]),
        )
