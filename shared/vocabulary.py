"""Identifiers and enumerations that all services share: in events, over HTTP and in their databases."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, NewType
from zoneinfo import ZoneInfo

from msgspec import Meta

RenewalId = NewType("RenewalId", uuid.UUID)
ItemId = NewType("ItemId", uuid.UUID)
SubscriberId = NewType("SubscriberId", str)
ARId = NewType("ARId", str)
# Where days begin and end: those that are paid for, and those on which the post is delivered.
HONG_KONG: Final = ZoneInfo("Asia/Hong_Kong")
# A time on the wire always has a zone.
UTCTime = Annotated[datetime, Meta(tz=True)]


class Product(StrEnum):
    """The e-Cert (Server) products that can be renewed online."""

    STANDARD = "standard"
    WILDCARD = "wildcard"
    MULTI_DOMAIN = "multi-domain"


class Language(StrEnum):
    """The AR's language, as a BCP 47 tag."""

    ENGLISH = "en"
    TRADITIONAL_CHINESE = "zh-Hant"
    SIMPLIFIED_CHINESE = "zh-Hans"
