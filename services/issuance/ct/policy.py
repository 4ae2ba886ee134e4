"""SCT policies of the browsers: how many SCTs a certificate needs, by its lifetime, and of which logs.

Chrome, Apple and Mozilla at once, by the strictest of the three. Apple alone requires an RFC 6962 log and limits the
SCTs of one operator.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Final

from services.issuance.ct.log_list import Log, Protocol

_DAY: Final = timedelta(days=1)
# With this many logs there are 1140 sets of three: choosing takes milliseconds.
_MAX_CANDIDATES: Final = 20


@dataclass(frozen=True, kw_only=True)
class SCTRule:
    """Rule for certificates of at most `max_lifetime`; None for all longer ones."""

    max_lifetime: timedelta | None
    scts: int
    operators: int
    per_operator: int
    of_protocol: Protocol | None

    def is_met(self, logs: Iterable[Log]) -> bool:
        """Return whether SCTs of these logs, one of each, are enough and none too many."""
        chosen = list(logs)
        counts: dict[str, int] = {}
        for log in chosen:
            counts[log.operator] = counts.get(log.operator, 0) + 1
        return (
            len({log.log_id for log in chosen}) == len(chosen) >= self.scts
            and len(counts) >= self.operators
            and max(counts.values(), default=0) <= self.per_operator
            and (self.of_protocol is None or any(log.protocol is self.of_protocol for log in chosen))
        )


# Since this day; rules in order of lifetime.
RULES: Final[tuple[tuple[date, tuple[SCTRule, ...]], ...]] = (
    (
        date(2026, 3, 15),
        (
            SCTRule(max_lifetime=180 * _DAY, scts=2, operators=2, per_operator=1, of_protocol=Protocol.RFC_6962),
            SCTRule(max_lifetime=None, scts=3, operators=2, per_operator=2, of_protocol=Protocol.RFC_6962),
        ),
    ),
)


def rule_for(not_before: datetime, not_after: datetime, now: datetime) -> SCTRule:
    """Return the rule in force for this validity; the last second is inside it. Raises ValueError before all rules."""
    lifetime = not_after - not_before + timedelta(seconds=1)
    day = now.astimezone(UTC).date()
    rules = next((rules for start, rules in reversed(RULES) if start <= day), None)
    if rules is None:
        raise ValueError(f"no rule for SCTs on {day}")
    return next(rule for rule in rules if rule.max_lifetime is None or lifetime <= rule.max_lifetime)


def candidates(logs: Iterable[Log], not_after: datetime, now: datetime) -> list[Log]:
    """Return the logs that take such a certificate; those that all browsers know for longest come first."""
    able = [log for log in logs if log.is_usable(now) and log.takes(not_after)]
    return sorted(able, key=lambda log: "usable" not in log.states)


def complete(rule: SCTRule, have: Sequence[Log], able: Iterable[Log]) -> list[Log] | None:
    """Return the fewest further logs, the first ones if possible, that meet the rule together with some of `have`.

    Returns None if no such logs exist, and none at all if `have` is enough.
    """
    others = [log for log in able if log not in have][:_MAX_CANDIDATES]
    for count in range(rule.scts + 1):
        for further in combinations(others, count):
            if any(rule.is_met((*kept, *further)) for kept in combinations(have, rule.scts - count)):
                return list(further)
    return None


def chosen(rule: SCTRule, have: Sequence[Log]) -> list[Log] | None:
    """Return as many of these logs as the rule asks for, the first ones that meet it; None if none do."""
    return next((list(logs) for logs in combinations(have, rule.scts) if rule.is_met(logs)), None)
