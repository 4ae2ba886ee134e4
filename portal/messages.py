"""Texts for the API's slugs: products, states, steps of the timeline, findings."""

from collections.abc import Mapping
from typing import Any, Final

from portal import refusals
from portal.languages import LANGUAGES, N_, day, gettext, money
from portal.pin_list import Fault, ListRefused

_PIN_ATTEMPTS: Final = 5

PRODUCTS: Final = {
    "standard": N_("e-Cert (Server)"),
    "wildcard": N_("e-Cert (Server) with “Wildcard” feature"),
    "multi-domain": N_("e-Cert (Server) with “Multi-domain” feature"),
}

STANDINGS: Final = {
    "ar-changed": N_("Valid"),
    "expired": N_("Expired"),
    "suspended": N_("Suspended"),
    "revoked": N_("Revoked"),
    "names-not-certifiable": N_("Valid"),
    "record-unusable": N_("Valid"),
    "evidence-unknown": N_("Valid"),
    "evidence-lapsing": N_("Valid"),
    "being-renewed": N_("Being renewed"),
    "too-early": N_("Paid"),
}

STATES: Final = {
    "draft": N_("Draft"),
    "awaiting-payment": N_("To be paid"),
    "closing-checkout": N_("Being cancelled"),
    "expiring": N_("Ending unpaid"),
    "awaiting-csrs": N_("In progress"),
    "on-hold": N_("On hold"),
    "withholding": N_("Being cancelled"),
    "completed": N_("Completed"),
    "refused": N_("Refused"),
    "cancelled": N_("Cancelled"),
    "expired": N_("Ended"),
}

ENDINGS: Final = {
    "cancelled": N_("You cancelled it."),
    "not-paid": N_("It was not paid in time."),
    "no-csr": N_("A CSR did not come in time."),
    "not-issued": N_("The certificates could not be issued in time."),
    "not-released": N_("It was on hold for too long."),
    "withheld": N_("The certificates were withheld."),
    "refused": N_("The certificates were refused."),
}

ITEM_STATES: Final = {
    "pending": N_("Being prepared"),
    "ordered": N_("Waiting for your CSR"),
    "awaiting-csr": N_("Waiting for your CSR"),
    "csr-received": N_("Being checked and issued"),
    "issuing": N_("Being checked and issued"),
    "issued": N_("Ready to download"),
    "accepted": N_("Accepted"),
    "refused": N_("Refused"),
    "withheld": N_("Not issued"),
}

# Reasons that an AR can give, in the order of the page (BR 7.2.2): the choice, and what it means.
REVOCATION_REASONS: Final = {
    "keyCompromise": (
        N_("The private key is lost, or others may know it"),
        N_("The key is blocked for good: every certificate with it is revoked, and none will be issued for it again."),
    ),
    "superseded": (N_("A new certificate has replaced it"), None),
    "cessationOfOperation": (N_("The server or its name is no longer used"), None),
    "affiliationChanged": (N_("The name or other details of the organisation have changed"), None),
    "unspecified": (N_("Another reason"), N_("No reason is published.")),
}
_CA_REASONS: Final = {
    "privilegeWithdrawn": N_("Revoked by us: its terms were not kept, or it should not have been issued")
}

KEY_KINDS: Final = {
    "rsa-2048": N_("RSA, 2048 bits"),
    "rsa-3072": N_("RSA, 3072 bits"),
    "rsa-4096": N_("RSA, 4096 bits"),
    "ec-p256": N_("ECDSA, P-256"),
    "ec-p384": N_("ECDSA, P-384"),
    "ec-p521": N_("ECDSA, P-521"),
}

DIFFERENCES: Final = {
    "same": N_("As ordered"),
    "ours": N_("As ordered: it is taken from your application"),
    "added": N_("Comes with the Wildcard, without a PIN of its own"),
    "missing": N_("Ordered, but not in the CSR"),
    "surplus": N_("In the CSR, but not ordered"),
}

CHECKS: Final = {
    "validity": N_("Validity"),
    "kind": N_("Kind of certificate"),
    "key": N_("Key"),
    "issuer": N_("Issuer"),
    "revocation": N_("Revocation"),
    "registration": N_("Registration"),
}

PIN_REASONS: Final = {
    "lost": N_("It has not come, or I cannot find it"),
    "returned": N_("It came back undelivered"),
    "damaged": N_("It is damaged, or the PIN cannot be read"),
    "exposed": N_("It was open, or somebody else may have seen the PIN"),
    "locked": N_("The PIN has had all its tries"),
}

PIN_LIST_FAULTS: Final = {
    Fault.MIXED: N_("Line %(number)s of the list has no server name: give every line one, or none"),
    Fault.UNKNOWN_NAME: N_("Line %(number)s of the list has a server name that is not in this certificate"),
    Fault.TWICE: N_("Line %(number)s of the list has a server name that was in the list before"),
    Fault.NO_PIN: N_("Line %(number)s of the list has no PIN"),
    Fault.COUNT: N_("The list has %(number)s PINs for %(names)s server names: without names it must have all of them"),
    Fault.TOO_LONG: N_("The list is too long"),
}

COURSE: Final = {
    "submitted": N_("Signed and submitted"),
    "paid": N_("Payment received"),
    "payment-declined": N_("Payment declined"),
    "csr-request-sent": N_("E-mail with instructions sent"),
    "mail-bounced": N_("The e-mail could not be delivered"),
    "order-opened": N_("Ready for your CSR"),
    "pin-envelope-posted": N_("PIN Envelope posted by registered mail"),
    "pin-envelope-returned": N_("PIN Envelope came back undelivered"),
    "pin-reissued": N_("New PIN Envelope under way; the PIN in the earlier one no longer works"),
    "csr-received": N_("CSR received"),
    "issuance-delayed": N_("Certificate waits: something is missing"),
    "certificate-issued": N_("Certificate issued"),
    "certificate-accepted": N_("Certificate accepted"),
    "certificate-revoked": N_("Certificate revoked"),
    "certificate-refused": N_("Certificate refused"),
    "cancellation-asked": N_("Cancellation asked for"),
    "cancellation-declined": N_("Cancellation no longer possible"),
    "cancelled": N_("Cancelled"),
    "expired": N_("Ended"),
    "payment-deadline": N_("The time to pay is over"),
    "csr-deadline": N_("The time to send the CSRs is over"),
    "hold-deadline": N_("On hold for too long"),
    "refused": N_("No certificate could be issued"),
    "on-hold": N_("On hold"),
    "released": N_("Released"),
    "refunded": N_("Refunded"),
    "completed": N_("Completed"),
}


def product(slug: str) -> str:
    """Return a product's name."""
    return gettext(PRODUCTS.get(slug, slug))


def language(tag: str) -> str:
    """Return a language's own name."""
    return next((each.name for each in LANGUAGES if each.tag == tag), tag)


def standing(reason_slug: str) -> str:
    """Return the text for a certificate that cannot be renewed for this reason."""
    return gettext(STANDINGS.get(reason_slug, reason_slug))


def state(slug: str) -> str:
    """Return a renewal's state."""
    return gettext(STATES.get(slug, slug))


def item_state(slug: str) -> str:
    """Return a certificate's state."""
    return gettext(ITEM_STATES.get(slug, slug))


def revocation_reason(slug: str) -> str:
    """Return why a certificate was revoked."""
    choice, _ = REVOCATION_REASONS.get(slug, (_CA_REASONS.get(slug, slug), None))
    return gettext(choice)


def revocation_hint(slug: str) -> str:
    """Return what the choice of this reason means; empty if it needs no explanation."""
    _, hint = REVOCATION_REASONS[slug]
    return gettext(hint) if hint else ""


def step(slug: str) -> str:
    """Return a step of the timeline."""
    return gettext(COURSE.get(slug, slug))


def key_kind(slug: str) -> str:
    """Return the kind and size of a key."""
    return gettext(KEY_KINDS.get(slug, slug))


def signature_algorithm(slug: str) -> str:
    """Return the common name of a signature algorithm: "SHA-256, RSA (PKCS#1 v1.5)"."""
    scheme, _, hashed = slug.rpartition("-")
    schemes = {"rsa-pkcs1v15": "RSA (PKCS#1 v1.5)", "rsa-pss": "RSA (PSS)", "ecdsa": "ECDSA"}
    return f"{hashed.upper().replace('SHA', 'SHA-')}, {schemes.get(scheme, scheme)}"


def difference(slug: str) -> str:
    """Return how a name of the CSR differs from the order."""
    return gettext(DIFFERENCES[slug])


def pin_hint(pin: Mapping[str, Any] | None) -> str:
    """Return what the AR should know about a PIN before typing it; an empty text if there is nothing special."""
    if pin is None or pin["state"] == "planned":
        return gettext("This PIN Envelope has not been made yet.")
    if pin["state"] == "locked":
        return gettext("This PIN has had all its tries. Order a new PIN Envelope.")
    return (
        "" if pin["tries_left"] >= _PIN_ATTEMPTS else gettext("Tries left: %(number)s") % {"number": pin["tries_left"]}
    )


def pin_reason(slug: str) -> str:
    """Return a reason for a new PIN Envelope."""
    return gettext(PIN_REASONS[slug])


def pin_list_fault(refused: ListRefused, names: int) -> str:
    """Return why a pasted list of PINs is not taken."""
    return gettext(PIN_LIST_FAULTS[refused.fault]) % {"number": refused.number, "names": names}


def new_pin_hint(pin: Mapping[str, Any]) -> str:
    """Return whether a new PIN Envelope can be ordered for this server name, and how often."""
    if pin["state"] == "planned":
        return gettext("A PIN Envelope is being made: none can be ordered just now.")
    if not pin["new_pins_left"]:
        return gettext("No more can be ordered here. Please contact us.")
    return gettext("Can be ordered here: %(number)s more") % {"number": pin["new_pins_left"]}


def check(slug: str) -> str:
    """Return the name of a check in the test of an e-Cert."""
    return gettext(CHECKS[slug])


def verdict(made: bool, fault: str | None) -> str:
    """Return `right`, `wrong`, or `unknown` if the check could not be made."""
    if not made or fault == "revocation-unknown":
        return "unknown"
    return "wrong" if fault else "right"


def finding(found: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Return the result of a check, and what to do if it failed."""
    if found["fault"]:
        return refusals.sign_in_problem(found["fault"])
    if not found["made"]:
        return gettext("It can only be told of an e-Cert of ours.")
    match found["check"]:
        case "validity":
            days = {"begin": day(report["not_before"]), "end": day(report["not_after"])}
            return gettext("From %(begin)s to %(end)s") % days
        case "kind":
            recognised = gettext("e-Cert (Organisational) with Mutual Recognition status")
            return recognised if report["mutual_recognition"] else gettext("e-Cert (Organisational)")
        case "issuer":
            return str(report["issuer"])
        case "key":
            return gettext("Strong enough, and made for signing")
        case "revocation":
            return gettext("Neither revoked nor suspended")
    return gettext("Registered for online renewal")


def ending(slug: str | None) -> str:
    """Return why a renewal ends, or ended, without all its certificates; an empty text if it does not."""
    return gettext(ENDINGS[slug]) if slug in ENDINGS else ""


def step_name(entry: Mapping[str, Any], items: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the server name of a step: the PIN Envelope's own, else the first name of the item."""
    if entry["event"] in ("pin-envelope-posted", "pin-reissued") and entry.get("server_name"):
        return str(entry["server_name"])
    item = items.get(entry["item_id"])
    return "" if item is None else str(item["server_names"][0])


def step_detail(entry: Mapping[str, Any], currency: str) -> str:
    """Return the detail of a step: a registered number, a serial number, an amount, a reason."""
    match entry["event"]:
        case "pin-envelope-posted" if entry.get("registered_number"):
            return gettext("Registered number %(number)s") % {"number": entry["registered_number"]}
        case "certificate-issued" if entry.get("serial"):
            return gettext("Serial number %(serial)s") % {"serial": entry["serial"]}
        case "refunded" if entry.get("amount_minor"):
            return money(entry["amount_minor"], currency)
        case "cancelled" | "expired" | "refused":
            return ending(entry.get("reason"))
    return ""


_QUOTE_LINES: Final = {
    "base": N_("Base: %(amount)s"),
    "additional-servers": N_("Additional servers: %(number)s at %(unit)s = %(amount)s"),
    "additional-names": N_("Additional server names: %(number)s at %(unit)s = %(amount)s"),
}


def quote_line(line: Mapping[str, Any], currency: str) -> str:
    """Return a line of a quote; of a kind that is not known, its amount."""
    amounts = {name: money(line[f"{name}_minor"], currency) for name in ("unit", "amount")}
    return gettext(_QUOTE_LINES.get(line["kind"], "%(amount)s")) % {"number": line["number"], **amounts}
