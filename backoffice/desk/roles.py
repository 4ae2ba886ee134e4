"""Roles of staff, the actions that each role may take, and the action of each page. Tests try every combination."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Roles of staff; one person may have several."""

    ENQUIRIES = "enquiries"
    MAIL_ROOM = "mail-room"
    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    REGISTRATION = "registration"


class Action(StrEnum):
    """Actions at the desk."""

    LOOK_UP = "look-up"
    SEE_ENVELOPES = "see-envelopes"
    SEE_RECIPIENT = "see-recipient"
    SEE_BATCHES = "see-batches"
    MARK_RETURNED = "mark-returned"
    REISSUE_PIN = "reissue-pin"
    SEE_HELD = "see-held"
    REDRIVE = "redrive"
    PROPOSE_SKIP = "propose-skip"
    DECIDE_SKIP = "decide-skip"
    SEE_AUDIT = "see-audit"
    SEE_EVIDENCE = "see-evidence"
    PROPOSE_EVIDENCE = "propose-evidence"
    DECIDE_EVIDENCE = "decide-evidence"


_LOOKING: Final = (Action.LOOK_UP, Action.SEE_ENVELOPES)
_REGISTERING: Final = (Action.SEE_EVIDENCE, Action.PROPOSE_EVIDENCE)
_OPERATING: Final = (Action.SEE_HELD, Action.REDRIVE, Action.PROPOSE_SKIP)
MAY: Final[Mapping[Role, frozenset[Action]]] = {
    Role.ENQUIRIES: frozenset(_LOOKING),
    Role.MAIL_ROOM: frozenset(
        {Action.SEE_BATCHES, Action.SEE_RECIPIENT, Action.MARK_RETURNED, Action.REISSUE_PIN, *_LOOKING}
    ),
    Role.OPERATOR: frozenset({*_LOOKING, *_OPERATING}),
    # Decides on proposals of others; nobody decides on their own, whatever their roles.
    Role.SUPERVISOR: frozenset({*_LOOKING, *_OPERATING, *_REGISTERING, Action.DECIDE_SKIP, Action.DECIDE_EVIDENCE}),
    Role.AUDITOR: frozenset({*_LOOKING, Action.SEE_BATCHES, Action.SEE_HELD, Action.SEE_AUDIT, Action.SEE_EVIDENCE}),
    # Verifies organisations and the authority of their ARs.
    Role.REGISTRATION: frozenset({*_LOOKING, *_REGISTERING}),
}

# Endpoint → action that it requires. An endpoint that is not listed is open to nobody.
PAGES: Final[Mapping[str, Action]] = {
    "certificates.search": Action.LOOK_UP,
    "certificates.listing": Action.LOOK_UP,
    "renewals.timeline": Action.LOOK_UP,
    "envelopes.listing": Action.SEE_ENVELOPES,
    "envelopes.show": Action.SEE_ENVELOPES,
    "envelopes.recipient": Action.SEE_RECIPIENT,
    "envelopes.batches": Action.SEE_BATCHES,
    "envelopes.mark_returned": Action.MARK_RETURNED,
    "envelopes.reissue": Action.REISSUE_PIN,
    "held.overview": Action.SEE_HELD,
    "held.listing": Action.SEE_HELD,
    "held.show": Action.SEE_HELD,
    "held.redrive": Action.REDRIVE,
    "held.propose": Action.PROPOSE_SKIP,
    "held.confirm": Action.DECIDE_SKIP,
    "held.reject": Action.DECIDE_SKIP,
    "audit.listing": Action.SEE_AUDIT,
    "evidence.listing": Action.SEE_EVIDENCE,
    "evidence.show": Action.SEE_EVIDENCE,
    "evidence.propose": Action.PROPOSE_EVIDENCE,
    "evidence.approve": Action.DECIDE_EVIDENCE,
    "evidence.reject": Action.DECIDE_EVIDENCE,
}

# Pages whose opening is audited: a link or picture on another site must not open them in somebody's name.
RECORDED: Final = frozenset({"envelopes.recipient"})


def allowed(roles: Iterable[Role], action: Action) -> bool:
    """Return whether one of the roles may take the action."""
    return any(action in MAY[role] for role in roles)
