"""Texts of the desk's pages: names of things, and explanations of what cannot be done."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import idna
from markupsafe import Markup

from backoffice.desk import event_texts
from backoffice.desk.staff import Fault
from shared.events.registry import ALL

HONG_KONG: Final = timezone(timedelta(hours=8), "HKT")

REFUSALS: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.NO_CERTIFICATE: (
        "Your browser showed no certificate",
        "The desk is for staff with a staff certificate. Import yours into this browser, close all its windows, and "
        "choose the certificate when the browser asks for it.",
    ),
    Fault.MALFORMED: (
        "Your certificate cannot be read",
        "Tell the service desk which browser and which card or file you used.",
    ),
    Fault.UNTRUSTED: (
        "This is not a staff certificate",
        "Close all windows of this browser and choose your staff certificate when the browser asks for it.",
    ),
    Fault.EXPIRED: (
        "Your staff certificate is not valid today",
        "It has expired, or begins later. Ask the staff CA's officer for a new one.",
    ),
    Fault.REVOKED: (
        "Your staff certificate was revoked",
        "It can no longer be used. If you did not ask for that, tell your supervisor at once. "
        "For a new certificate ask the staff CA's officer.",
    ),
    Fault.NO_ROLE: (
        "You have no role at the desk",
        "Your certificate is good, but nobody has given you a role here. Ask your supervisor to have one assigned.",
    ),
}
NOT_ALLOWED: Final = ("Your role does not allow this", "Somebody with another role must do it. Ask your supervisor.")
FOREIGN_FORM: Final = (
    "Nothing was done",
    "It was not a page of the desk that asked for this. Open the page at the desk again and go on from there.",
)
REVOCATION_UNKNOWN: Final = (
    "Sign-in is unavailable at the moment",
    "It cannot be checked whether staff certificates were revoked, as there is no current CRL of the staff CA. "
    "Try again later; if it lasts, tell the staff CA's officer.",
)
UNAVAILABLE: Final = (
    "The desk is unavailable at the moment",
    "A service that it needs is down. Load the page again in a moment. What you sent may have been done: look first.",
)
FAILED: Final = (
    "Something went wrong on our side",
    "The fault was recorded. What you sent may have been done: look first, then try once more.",
)
NOT_FOUND: Final = ("There is no such page", "Nothing is known under this address. Search for it from the start page.")
NOT_UNDERSTOOD: Final = ("This request was not understood", "Go back and try again.")

STATES: Final[Mapping[str, str]] = {
    "order-awaited": "Order not opened yet",
    "awaiting-csr": "Waits for its CSR",
    "csr-received": "CSR received, being issued",
    "delayed": "CSR received, something is missing",
    "issued": "Issued",
    "accepted": "Issued and accepted",
    "revoked": "Revoked",
    "refused": "Refused",
    "withdrawn": "Withdrawn",
    "despatched": "Despatched",
    "returned": "Returned",
    "lost": "Lost",
    "voided": "PIN voided",
    "announced": "Being made",
}
# Colour of the tag beside the text.
COLOURS: Final[Mapping[str, str]] = {
    "issued": "green",
    "accepted": "green",
    "revoked": "red",
    "refused": "red",
    "delayed": "orange",
    "returned": "orange",
    "lost": "red",
    "withdrawn": "grey",
    "voided": "grey",
}
# Confirmation shown on the page after a form.
DONE: Final[Mapping[str, str]] = {
    "returned": "Recorded: the letter came back. This page shows it in a moment, once mailing has announced it.",
    "replaced": "The PIN is voided, and another letter is being made. This page shows it in a moment.",
    "proposed": "Your proposal awaits the approval of another person.",
    "evidence-renewed": "The evidence is renewed.",
    "evidence-kept": "The proposal was rejected; the record keeps its evidence.",
    "turned-down": "The proposal was rejected; the event stays held.",
    "gone-on": "Done: nothing of this renewal is held here any more.",
    "held-on": "Events were applied until one failed; "
    "what is still held of this renewal is in the list with its reason.",
}
EVIDENCE: Final[Mapping[str, str]] = {"organisation": "Organisation", "authority": "Authority of an AR"}
PRODUCTS: Final[Mapping[str, str]] = {
    "standard": "e-Cert (Server)",
    "wildcard": "e-Cert (Server) “Wildcard”",
    "multi-domain": "e-Cert (Server) “Multi-domain”",
}
_FACTS: Final[Mapping[str, str]] = {
    "amount_minor": "Amount",
    "srn": "SRN",
    "spki_sha256": "Key (SHA-256)",
    "certificate_sha256": "Certificate (SHA-256)",
    "document_sha256": "Document (SHA-256)",
    "message_id": "Message-ID",
    "obstacles": "Missing",
    "proofs": "Attestation and receipt",
}
_ACRONYMS: Final = {"pin": "PIN", "csr": "CSR"}


def event(event_type: str) -> str:
    """Return an event's title."""
    known = ALL.get(event_type)
    return event_texts.title_of(known) if known else event_type


def publisher(topic: str) -> str:
    """Return the service that writes a topic."""
    return topic.partition(".")[0]


def fact_name(name: str) -> str:
    """Return the label of a fact."""
    return _FACTS.get(name, " ".join(_ACRONYMS.get(part, part) for part in name.split("_")).capitalize())


def shown_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a step's facts as labels and texts."""
    shown = []
    for name, value in facts.items():
        if name == "currency" or value is None:
            continue
        shown.append((fact_name(name), _fact(name, value, facts)))
    return shown


def _fact(name: str, value: Any, facts: Mapping[str, Any]) -> str:
    if name == "amount_minor":
        return money(int(value), str(facts.get("currency", "HKD")))
    if name == "server_names":
        return ", ".join(readable_name(each) for each in value)
    if name == "obstacles":
        return "; ".join(obstacle(each) for each in value)
    if name == "server_name":
        return readable_name(str(value))
    if name.endswith("_on"):
        return day(date.fromisoformat(str(value)))
    if name in ("not_after", "pay_before", "until"):
        return moment(datetime.fromisoformat(str(value)))
    return str(value)


OBSTACLES: Final[Mapping[str, str]] = {
    "validation": "control of the domain",
    "caa": "CAA",
    "evidence": "evidence of the organisation",
}


def obstacle(found: Mapping[str, Any]) -> str:
    """Return an obstacle: its server name, kind and reason, and the CAA record that forbids."""
    name, kind, record = readable_name(str(found["server_name"])), str(found["kind"]), found.get("record")
    text = f"{name}: {OBSTACLES.get(kind, kind)}: {found['reason']}"
    return f"{text} ({record})" if record else text


HELD: Final[Mapping[str, str]] = {
    "gap": "Waits for an earlier event",
    "conflict": "Another event has the same number",
    "failed": "Failed three times",
    "undecodable": "Cannot be read",
    "no-sequence": "Has no readable number",
    "unknown-type": "Unknown to this release",
    "wrong-topic": "Belongs to another service",
    "too-large": "Too large",
    "signature-wrong": "Has no valid signature",
}


def held_reason(reason: str) -> str:
    """Return the text for the reason of a hold."""
    return f"{HELD[reason]} ({reason})" if reason in HELD else reason


def is_renewal(key: str) -> bool:
    """Return whether a key can be a renewal's id."""
    try:
        return str(uuid.UUID(key)) == key
    except ValueError:
        return False


def as_text(value: Any) -> str:
    """Return headers or data as text."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def stamp(value: str | None) -> str:
    """Return a time as a service's API writes it."""
    return "" if value is None else moment(datetime.fromisoformat(value))


def money(amount_minor: int, currency: str) -> str:
    """Return an amount."""
    return f"{currency} {amount_minor / 100:,.2f}"


def moment(value: datetime | None) -> str:
    """Return a time in Hong Kong, to the second."""
    return "" if value is None else f"{value.astimezone(HONG_KONG):%-d %b %Y, %H:%M:%S}"


def day(value: date | datetime | None) -> str:
    """Return a date; of a time, its date in Hong Kong."""
    if isinstance(value, datetime):
        value = value.astimezone(HONG_KONG).date()
    return "" if value is None else f"{value:%-d %b %Y}"


def readable_name(name: str) -> str:
    """Return a server name; an internationalised one in both its readable and its encoded form."""
    if "xn--" not in name:
        return name
    try:
        return f"{idna.decode(name.removeprefix('*.'))} ({name})"
    except idna.IDNAError:
        return name


# Ideographs, their punctuation and full-width letters.
_CHINESE: Final = re.compile(r"([\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]+)")


def chinese(text: str) -> Markup:
    """Return a name or an address with its Chinese parts marked as such, for glyphs and for screen readers."""
    marked = Markup('<span lang="zh-Hant">{}</span>')
    parts = enumerate(_CHINESE.split(text))
    return Markup("").join(marked.format(part) if number % 2 else part for number, part in parts)


def pairs(serial: str) -> str:
    """Return a serial number in pairs with colons, as openssl prints it."""
    even = serial if len(serial) % 2 == 0 else f"0{serial}"
    return ":".join(even[at : at + 2] for at in range(0, len(even), 2))


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "moment": moment,
    "stamp": stamp,
    "day": day,
    "server_name": readable_name,
    "chinese": chinese,
    "pairs": pairs,
}
