"""Messages for every refusal of the API, by slug: each says what to do."""

from typing import Final

from portal.languages import N_, gettext
from shared.web.https_client import APIProblem

UNAVAILABLE: Final = N_("The service does not answer just now. Nothing is lost: load the page again in a moment.")
NOT_FOUND: Final = N_("There is no such page. Check the address, or start from the start page.")
INTERNAL: Final = N_("It has been recorded. Nothing that was sent before is lost. Please try again later.")
FORM_EXPIRED: Final = N_("The form is from an earlier session. Go back, load the page again and send it once more.")
TOO_LARGE: Final = N_("Send a smaller file: signatures and CSRs are a few kilobytes.")
_NOT_CADES: Final = N_("The signature does not name its certificate (CAdES). Make it with a command shown here.")
_VERIFY_AGAIN: Final = N_(
    "We have to verify your organisation, and your authority to act for it, again before you renew. Please contact us, "
    "and sign in again afterwards."
)
_WEAK_SIGNATURE: Final = N_(
    "The CSR is in order, but signed with SHA-1 or MD5, which are no longer accepted. Make it again with SHA-256: with "
    "openssl add -sha256; for IIS or Exchange use certreq as shown here, because their own wizards sign with SHA-1."
)
_TOO_EARLY: Final = N_("The year after the one that is paid for cannot be bought yet.")
_ENTRIES: Final = N_("What you entered cannot be used. Check it and send it again.")

_SIGN_IN: Final = {
    "client-certificate-missing": N_(
        "Your browser showed no e-Cert. Import it into the browser or plug in your token, close all windows of the "
        "browser, and try again."
    ),
    "client-certificate-malformed": N_("The certificate that your browser showed cannot be read."),
    "certificate-refused": N_("This e-Cert cannot be used: use a valid e-Cert (Organisational)."),
    "certificate-unreadable": N_("The certificate cannot be read."),
    "certificate-name-encoding": N_(
        "A name in this e-Cert has a character that its encoding does not have, such as & in a PrintableString. Ask us "
        "for another e-Cert (Organisational), or apply with the form at any post office."
    ),
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
    "not-enrolled": N_(
        "This e-Cert is not registered for online renewal. If it renews one that is registered, it is accepted by "
        "itself as long as your name, your organisation, its business registration number and the SRN in both are the "
        "same and the earlier one was not revoked. Otherwise please contact us."
    ),
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
    "sign-in-again": N_("This step needs a sign-in of the last few minutes. Please sign in again."),
    "order-not-found": N_("There is no such certificate of your organisation."),
    "certificate-not-found": N_("The certificate is not there yet."),
    "not-in-this-state": N_("The renewal has moved on: this step is no longer possible. Look at its status."),
    "too-early": _TOO_EARLY,
    "not-eligible": N_("This certificate cannot be renewed online now."),
    "server-names-refused": N_("These server names cannot stand in a certificate. Correct them."),
    "server-names-fixed": N_("Only a renewal of a Multi-domain certificate can change its server names."),
    "no-additional-servers": N_("Only Wildcard certificates have additional servers."),
    "document-too-old": N_("This draft is too old to be signed. Please cancel it and start again."),
    "wrong-attestation": N_("The signature belongs to another application."),
    "record-unusable": N_(
        "A name or an address in our register cannot be used for certificates, mails or letters. Please contact us: we "
        "correct it. Nothing is lost or to be paid."
    ),
    "signed-with-another-certificate": N_(
        "The signature was made with another e-Cert than the one you signed in with."
    ),
    "signature-refused": N_(
        "The signature is not accepted. Sign exactly the downloaded file, with the command shown here."
    ),
    "document-refused": N_("The signed document is not this application. Download it again and sign it."),
    "ticket-refused": N_("This draft can no longer be signed as it is. Load the page again and look at its status."),
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
    "pin-locked": N_("A PIN has had all its tries. Order a new PIN Envelope for it."),
    "pin-not-locked": N_("This PIN has tries left. Choose another reason, or use the PIN."),
    "pin-too-recent": N_("The PIN Envelope may still be in the post."),
    "pins-used-up": N_("No more PIN Envelopes can be ordered here. Please contact us."),
    "domain-not-found": N_(
        "This domain is not among those of your organisation. Load the page with its domains again."
    ),
    "too-many-domains": N_("Your organisation has as many domains as one can have here. Please contact us."),
    "too-many-requests": N_("Too many requests came at once. Nothing is lost: wait a minute, then try again."),
    "csr-refused": N_("This CSR cannot be used. Make a new one."),
    "csr-signature-too-weak": _WEAK_SIGNATURE,
    "csr-names-differ": N_("The CSR asks for other server names than were applied for."),
    "private-key-pasted": N_(
        "What you sent holds a private key. It must never leave your server and cannot be used any more: make a new "
        "key and a new CSR."
    ),
    "key-refused": N_(
        "The key in the CSR is not allowed: use RSA with 2048, 3072 or 4096 bits, or ECDSA with P-256 or P-384."
    ),
    "key-not-allowed": N_("The key in the CSR has been used before or is known to others. Make a new key."),
    "too-costly-to-read": N_("What you sent cannot be used: it takes too long to read. Make it again, and send that."),
    "invalid-request": _ENTRIES,
    "malformed-request": _ENTRIES,
    "refused": _ENTRIES,
    "body-too-large": TOO_LARGE,
    "idempotency-key-reused": N_(
        "This form was sent before with other entries. Load the page again, look at it, and send it once more."
    ),
    "idempotency-key-in-use": N_("Your last request is still running. Please wait a moment and try again."),
}

NAME_FAULTS: Final = {
    "name-empty": N_("A server name has nothing between two dots, or is empty."),
    "name-too-long": N_("A server name is longer than 253 characters."),
    "name-trailing-dot": N_("A server name must not end with a dot."),
    "name-underscore": N_("A server name must not have an underscore (_)."),
    "name-not-letters-digits-hyphen": N_("A server name may have letters, digits and hyphens only, with dots between."),
    "name-bad-internationalised-label": N_("A server name has characters that the DNS does not allow."),
    "name-is-ip-address": N_("An IP address is not a server name."),
    "name-internal-or-reserved": N_("A server name is an internal one, or its top-level domain does not exist."),
    "name-in-reverse-zone": N_("A server name is in the zone of reverse look-ups (arpa)."),
    "name-is-public-suffix": N_("A server name belongs to nobody: it is a registry’s own, such as com.hk."),
    "name-wildcard-misplaced": N_("A star (*) may stand at the beginning only, and only in a Wildcard certificate."),
    "names-not-as-certified": N_("A server name is not spelt as in certificates."),
    "names-repeated": N_("A server name is given twice."),
    "names-too-many-or-none": N_("Enter between 1 and 50 server names"),
    "names-do-not-fit-product": N_("A star (*) may stand at the beginning only, and only in a Wildcard certificate."),
}
_REASONS: Final = {
    "ar-changed": N_("Another person is its Authorised Representative. Apply with the form at any post office."),
    "expired": N_("Its paid period has ended. Apply with the form at any post office."),
    "suspended": N_("It is suspended. Please contact us first."),
    "revoked": N_("It was revoked. Have another one issued within the paid period, then renew that one."),
    "names-not-certifiable": N_(
        "Its server names can no longer stand in a certificate. Apply with the form at any post office."
    ),
    "record-unusable": N_(
        "The name of your organisation in our register cannot stand in a certificate. Please contact us: we correct it."
    ),
    **NAME_FAULTS,
    "evidence-unknown": _VERIFY_AGAIN,
    "evidence-lapsing": _VERIFY_AGAIN,
    "being-renewed": N_("A renewal is under way: continue or cancel that one."),
    "too-early": _TOO_EARLY,
    "csr-too-large": N_("The CSR is too large."),
    "csr-not-a-csr": N_("This is not a CSR. It begins with -----BEGIN CERTIFICATE REQUEST-----."),
    "csr-several-pem-blocks": N_("Send one CSR alone, without other blocks."),
    "csr-signature-invalid": N_("The CSR is damaged: its signature does not fit. Make or copy it again."),
    "csr-signature-too-weak": _WEAK_SIGNATURE,
    "csr-signature-algorithm-unknown": N_("The CSR is signed in a way that we do not know. Sign it with SHA-256."),
    "csr-malformed": N_("A part of the CSR cannot be read. Make it again with one of the commands shown here."),
    "csr-names-not-dns": N_("The CSR asks for something else than server names, such as an IP address."),
    "signature-of-another-document": N_(
        "This is the signature of another file. Sign exactly the file that you downloaded here."
    ),
    "signature-not-detached": N_(
        "The document is inside the signature. Make a detached one, with a command shown here."
    ),
    "signature-signing-time": N_(
        "The signature is more than ten minutes old, or the clock of the computer that made it is wrong. "
        "Sign again, and upload it at once."
    ),
    "signature-signing-certificate": _NOT_CADES,
    "signature-without-signed-attributes": _NOT_CADES,
    "signature-attributes": _NOT_CADES,
    "signature-algorithm": N_("The signature uses an algorithm that is not allowed. Sign with SHA-256, as shown here."),
    "key-blocked": N_("This key is blocked, because others may know it. Make a new key."),
    "key-used-before": N_("This key belongs to another certificate. Make a new key."),
    "key-rsa-size-not-allowed": N_("Use an RSA key of 2048, 3072 or 4096 bits."),
    "key-weak": N_("The key is known to be weak. Make a new one with current software."),
}


def of(problem: APIProblem) -> str:
    """Return the message (to be translated) of a refusal: that of its reason, if there is one."""
    found = _REASONS.get(problem.reason) or _PROBLEMS.get(problem.reason)
    return found or _PROBLEMS.get(problem.slug) or INTERNAL


def translated(problem: APIProblem) -> str:
    """Return the message in this request's language."""
    return gettext(of(problem))


def sign_in_problem(*slugs: str) -> str:
    """Return why the sign-in failed, by the first known slug; else a general message."""
    found = next((slug for slug in slugs if slug in _SIGN_IN), "certificate-refused")
    return gettext(_SIGN_IN[found])


def reason(slug: str) -> str:
    """Return why a certificate cannot be renewed online."""
    return gettext(_REASONS.get(slug, _PROBLEMS["not-eligible"]))


def discarded(slug: str) -> str:
    """Return why an accepted CSR was discarded later."""
    text = _REASONS.get(slug) or _PROBLEMS.get(slug) or _PROBLEMS["csr-refused"]
    return gettext(text)
