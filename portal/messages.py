"""What people read for the API's words: products, states, steps of the course, and every refusal, by its slug."""

from collections.abc import Mapping
from typing import Any, Final

from portal.gateway import APIProblem
from portal.languages import LANGUAGES, N_, day, gettext, money

UNAVAILABLE: Final = N_("The service does not answer just now. Nothing is lost: load the page again in a moment.")
NOT_FOUND: Final = N_("There is no such page. Check the address, or start from the start page.")
INTERNAL: Final = N_("It has been recorded. Nothing that was sent before is lost. Please try again later.")
FORM_EXPIRED: Final = N_("The form is from an earlier session. Go back, load the page again and send it once more.")
TOO_LARGE: Final = N_("Send a smaller file: signatures and CSRs are a few kilobytes.")

_PIN_TRIES: Final = 5

_SIGN_IN: Final = {
    "client-certificate-missing": N_(
        "Your browser showed no e-Cert. Import it into the browser or plug in your token, close all windows of the "
        "browser, and try again."
    ),
    "client-certificate-malformed": N_("The certificate that your browser showed cannot be read."),
    "certificate-refused": N_("This e-Cert cannot be used: use a valid e-Cert (Organisational)."),
    "certificate-unreadable": N_("The certificate cannot be read."),
    "certificate-untrusted": N_("It was not issued by a CA of ours: use your e-Cert (Organisational)."),
    "certificate-not-yet-valid": N_("This e-Cert is not valid yet. Check the clock of your computer, or wait."),
    "certificate-not-organisational": N_("This is not an e-Cert (Organisational)."),
    "certificate-not-mutual-recognition": N_("This is not an e-Cert (Organisational) with Mutual Recognition status."),
    "certificate-weak-key": N_("Its key is too weak. Apply for a new e-Cert (Organisational)."),
    "certificate-key-usage": N_("It is not made for signing: use your e-Cert (Organisational)."),
    "certificate-extended-key-usage": N_("It is not made for signing in: use your e-Cert (Organisational)."),
    "certificate-expired": N_("This e-Cert has expired. Renew your e-Cert (Organisational) first."),
    "certificate-revoked": N_("This e-Cert has been revoked."),
    "certificate-suspended": N_("This e-Cert is suspended."),
    "certificate-personal": N_("This is an e-Cert (Personal): use your e-Cert (Organisational)."),
    "certificate-encipherment": N_("This is an e-Cert (Encipherment): use your e-Cert (Organisational)."),
    "revocation-unknown": N_("Whether the e-Cert is revoked cannot be told now. Please try again later."),
    "not-enrolled": N_("This e-Cert is not registered for online renewal. Please contact us."),
    "organisation-mismatch": N_("The e-Cert names another organisation than the one you act for."),
    "office-ended": N_("You are no longer the Authorised Representative of this organisation."),
    "code-refused": N_("This sign-in was started elsewhere or is too old. Please sign in again."),
    "challenge-refused": N_("This sign-in was started elsewhere or is too old. Please sign in again."),
    "signature-refused": N_("The signature is not accepted. Please try again."),
    "unavailable": N_("Signing in is not possible just now. Please try again in a moment."),
    "sign-in-stale": N_("This sign-in was started elsewhere or is too old. Please sign in again."),
}

_PROBLEMS: Final = {
    **_SIGN_IN,
    "renewal-not-found": N_("There is no such renewal of your organisation."),
    "order-not-found": N_("There is no such certificate of your organisation."),
    "certificate-not-found": N_("The certificate is not there yet."),
    "not-in-this-state": N_("The renewal has moved on: this step is no longer possible. Look at its status."),
    "not-eligible": N_("This certificate cannot be renewed online now."),
    "no-additional-servers": N_("Only Wildcard certificates have additional servers."),
    "document-too-old": N_("This draft is too old to be signed. Please cancel it and start again."),
    "wrong-attestation": N_("The signature belongs to another application."),
    "signed-with-another-certificate": N_(
        "The signature was made with another e-Cert than the one you signed in with."
    ),
    "signature-refused": N_(
        "The signature is not accepted. Sign exactly the downloaded file, with the command shown here."
    ),
    "document-refused": N_("The signed document is not this application. Download it again and sign it."),
    "nonce-spent": N_("This application was signed before. Upload the first signature again, or start a new renewal."),
    "payment-not-ready": N_("The payment is being prepared. Please try again in a moment."),
    "terms-not-found": NOT_FOUND,
    "not-the-representative": N_("Only the Authorised Representative who submitted the renewal can pay for it."),
    "authorisation-refused": N_("Your proof of identity is too old for paying. Please choose Pay once more."),
    "authorisation-used": N_("Your proof of identity was used already. Please choose Pay once more."),
    "payment-closed": N_("The time to pay for this renewal is over."),
    "already-paid": N_("This renewal is paid. Do not pay again."),
    "payment-held": N_("Your payment is being looked into. Do not pay again."),
    "no-receipt-yet": N_("There is no receipt before the payment has arrived."),
    "provider-refused": N_("The payment provider does not open the payment page. Please contact us."),
    "provider-unavailable": N_("The payment provider does not answer. Please try again in a moment."),
    "wrong-reference": N_("The reference number is not the one of this certificate. It is in your PIN Envelope."),
    "pins-missing": N_("Enter the PIN from each PIN Envelope"),
    "pin-slip": N_("A PIN is mistyped: it has 16 digits. No try was used up."),
    "pin-not-ready": N_("The PIN Envelopes have not been made yet."),
    "pin-wrong": N_("A PIN is wrong. Check that each PIN stands beside its own server name."),
    "pin-locked": N_("A PIN has had all its tries. Please contact us."),
    "csr-refused": N_("This CSR cannot be used. Make a new one."),
    "csr-names-differ": N_("The CSR asks for other server names than were applied for."),
    "private-key-pasted": N_(
        "What you sent holds a private key. It must never leave your server and cannot be used any more: make a new "
        "key and a new CSR."
    ),
    "key-refused": N_(
        "The key in the CSR is not allowed: use RSA with 2048, 3072 or 4096 bits, or ECDSA with P-256, P-384 or P-521."
    ),
    "key-not-allowed": N_("The key in the CSR has been used before or is known to others. Make a new key."),
    "idempotency-key-in-use": N_("Your last request is still running. Please wait a moment and try again."),
}

_REASONS: Final = {
    "ar-changed": N_("Another person is its Authorised Representative. Apply with the form at any post office."),
    "expired": N_("It has expired. Apply with the form at any post office."),
    "suspended": N_("It is suspended. Please contact us first."),
    "revoked": N_("It was revoked. Apply with the form at any post office."),
    "being-renewed": N_("A renewal is under way: continue or cancel that one."),
    "csr-too-large": N_("The CSR is too large."),
    "csr-not-a-csr": N_("This is not a CSR. It begins with -----BEGIN CERTIFICATE REQUEST-----."),
    "csr-several-pem-blocks": N_("Send one CSR alone, without other blocks."),
    "csr-text-around-it": N_("There is other text around the CSR. Remove it."),
    "csr-signature-invalid": N_("The CSR is damaged: its signature does not fit. Make or copy it again."),
    "csr-names-not-dns": N_("The CSR asks for something else than server names, such as an IP address."),
    "key-blocked": N_("This key is blocked, because others may know it. Make a new key."),
    "key-used-before": N_("This key belongs to another certificate. Make a new key."),
    "key-rsa-size-not-allowed": N_("Use an RSA key of 2048, 3072 or 4096 bits."),
    "key-weak": N_("The key is known to be weak. Make a new one with current software."),
}

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
    "being-renewed": N_("Being renewed"),
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


def of(problem: APIProblem) -> str:
    """The message (to be translated) of a refusal: the finer reason's, if there is one."""
    found = _REASONS.get(problem.reason) or _PROBLEMS.get(problem.reason)
    return found or _PROBLEMS.get(problem.slug) or INTERNAL


def translated(problem: APIProblem) -> str:
    """The message in this request's language."""
    return gettext(of(problem))


def sign_in_problem(*slugs: str) -> str:
    """Why signing in failed, by the finest word we know; else, that it did."""
    found = next((slug for slug in slugs if slug in _SIGN_IN), "certificate-refused")
    return gettext(_SIGN_IN[found])


def product(slug: str) -> str:
    """A product's name."""
    return gettext(PRODUCTS.get(slug, slug))


def reason(slug: str) -> str:
    """Why a certificate cannot be renewed online."""
    return gettext(_REASONS.get(slug, _PROBLEMS["not-eligible"]))


def language(tag: str) -> str:
    """A language in its own words."""
    return next((each.name for each in LANGUAGES if each.tag == tag), tag)


def standing(reason_slug: str) -> str:
    """Where a certificate stands that cannot be renewed for this reason."""
    return gettext(STANDINGS.get(reason_slug, reason_slug))


def state(slug: str) -> str:
    """A renewal's state."""
    return gettext(STATES.get(slug, slug))


def item_state(slug: str) -> str:
    """A certificate's state."""
    return gettext(ITEM_STATES.get(slug, slug))


def step(slug: str) -> str:
    """A step of the course."""
    return gettext(COURSE.get(slug, slug))


def key_kind(slug: str) -> str:
    """Of which kind and size a key is."""
    return gettext(KEY_KINDS.get(slug, slug))


def signature_algorithm(slug: str) -> str:
    """A signature's algorithm as it is commonly written: "SHA-256, RSA (PKCS#1 v1.5)"."""
    scheme, _, hashed = slug.rpartition("-")
    schemes = {"rsa-pkcs1v15": "RSA (PKCS#1 v1.5)", "rsa-pss": "RSA (PSS)", "ecdsa": "ECDSA"}
    return f"{hashed.upper().replace('SHA', 'SHA-')}, {schemes.get(scheme, scheme)}"


def difference(slug: str) -> str:
    """How a name of a CSR and of its order compare."""
    return gettext(DIFFERENCES[slug])


def set_aside(slug: str) -> str:
    """Why a CSR that was taken could not be used after all."""
    text = _REASONS.get(slug) or _PROBLEMS.get(slug) or _PROBLEMS["csr-refused"]
    return gettext(text)


def pin_hint(pin: Mapping[str, Any] | None) -> str:
    """What the AR should know of a PIN before typing it; nothing if all is as usual."""
    if pin is None or pin["state"] == "planned":
        return gettext("This PIN Envelope has not been made yet.")
    if pin["state"] == "locked":
        return gettext("This PIN has had all its tries. Please contact us.")
    return "" if pin["tries_left"] >= _PIN_TRIES else gettext("Tries left: %(number)s") % {"number": pin["tries_left"]}


def check(slug: str) -> str:
    """A point that is looked at when an e-Cert is tested."""
    return gettext(CHECKS[slug])


def verdict(made: bool, fault: str | None) -> str:
    """`right`, `wrong`, or `unknown` where nobody could tell."""
    if not made or fault == "revocation-unknown":
        return "unknown"
    return "wrong" if fault else "right"


def finding(found: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """What was found at one point, and what to do if it is wrong."""
    if found["fault"]:
        return sign_in_problem(found["fault"])
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
    """Why a renewal ended, or is about to, without all its certificates; nothing if it does not."""
    return gettext(ENDINGS[slug]) if slug in ENDINGS else ""


def step_name(entry: Mapping[str, Any], items: Mapping[str, Mapping[str, Any]]) -> str:
    """The server name that a step is about; of an item with several, the first, but each PIN Envelope's own."""
    if entry["event"] == "pin-envelope-posted" and entry["detail"]:
        return str(entry["detail"].partition(" ")[0])
    item = items.get(entry["item_id"])
    return "" if item is None else str(item["server_names"][0])


def step_detail(entry: Mapping[str, Any], currency: str) -> str:
    """What a step of the course says more: a registered number, a serial number, an amount, a reason."""
    detail = entry["detail"]
    if not detail:
        return ""
    match entry["event"]:
        case "pin-envelope-posted":
            return gettext("Registered number %(number)s") % {"number": detail.partition(" ")[2]}
        case "certificate-issued":
            return gettext("Serial number %(serial)s") % {"serial": detail}
        case "refunded":
            return money(int(detail), currency)
        case "cancelled" | "expired" | "refused":
            return ending(detail)
    return ""
