"""Topics and their writers and readers: the table from which topics, users and ACLs are generated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.events.base import FEEDS, Topic

PARTITIONS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Access:
    """A principal's rights in Kafka; the names of its consumer groups begin with its own name."""

    writes: tuple[Topic, ...]
    reads: tuple[Topic, ...] = ()


# Each topic has one writer. Only mailing may read sealed PINs; nobody may read copies of evidence, except identity
# while its outbox is recovered (see may_read_its_own).
ACCESS: Final[Mapping[str, Access]] = {
    "identity": Access(writes=(Topic.IDENTITY, Topic.EVIDENCE, Topic.REGISTER)),
    "application": Access(
        writes=(Topic.APPLICATION,),
        reads=(Topic.REGISTER, Topic.PAYMENT, Topic.MAILING, Topic.ISSUANCE),
    ),
    "payment": Access(writes=(Topic.PAYMENT,), reads=(Topic.APPLICATION,)),
    "mailing": Access(
        writes=(Topic.MAILING,),
        reads=(Topic.REGISTER, Topic.APPLICATION, Topic.ISSUANCE, Topic.PIN_ENVELOPES),
    ),
    "issuance": Access(writes=(Topic.ISSUANCE, Topic.PIN_ENVELOPES), reads=(Topic.APPLICATION,)),
    "desk": Access(
        writes=(),
        reads=(Topic.IDENTITY, Topic.APPLICATION, Topic.PAYMENT, Topic.MAILING, Topic.ISSUANCE),
    ),
}
# Outsiders: each reads the feed and nothing else, in groups that begin with its own name and a dot.
READERS: Final[Mapping[str, Access]] = {
    name: Access(writes=(), reads=(Topic.ISSUANCE,)) for name in ("backoffice", "archive")
}
PRINCIPALS: Final = (*ACCESS, *READERS)


def watched(principal: str) -> tuple[str, ...]:
    """Return the principals whose groups this one may see: the writer of a feed sees its readers' lag."""
    feeds = FEEDS & {*ACCESS[principal].writes} if principal in ACCESS else frozenset()
    return tuple(reader for reader, access in READERS.items() if feeds & {*access.reads})


def group_prefix(principal: str) -> str:
    """Return the prefix of the names of a principal's consumer groups.

    It ends with a dot, so that no other principal's name begins with it.
    """
    return f"{principal}." if principal in READERS else principal
