"""Refusals of identity, with the faults that some of them name."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from shared.errors import Refused


class CertificateFault(StrEnum):
    """Reasons for refusing an e-Cert; stable slugs."""

    UNREADABLE = "certificate-unreadable"
    NAME_ENCODING = "certificate-name-encoding"
    UNTRUSTED = "certificate-untrusted"
    NOT_YET_VALID = "certificate-not-yet-valid"
    EXPIRED = "certificate-expired"
    PERSONAL = "certificate-personal"
    ENCIPHERMENT = "certificate-encipherment"
    NOT_ORGANISATIONAL = "certificate-not-organisational"
    NOT_MUTUAL_RECOGNITION = "certificate-not-mutual-recognition"
    IS_CA = "certificate-is-a-ca"
    WEAK_KEY = "certificate-weak-key"
    KEY_USAGE = "certificate-key-usage"
    EXTENDED_KEY_USAGE = "certificate-extended-key-usage"
    UNKNOWN_CRITICAL_EXTENSION = "certificate-unknown-critical-extension"
    REVOKED = "certificate-revoked"
    SUSPENDED = "certificate-suspended"


_ADVICE: Final[Mapping[CertificateFault, str]] = {
    CertificateFault.NAME_ENCODING: (
        "A name in the certificate has a character that its encoding does not have, such as & in a PrintableString: "
        "ask the CA for another e-Cert, or apply at a post office."
    ),
    CertificateFault.UNTRUSTED: "The certificate was not issued by a Hongkong Post e-Cert CA.",
    CertificateFault.NOT_YET_VALID: "The e-Cert is not valid yet.",
    CertificateFault.EXPIRED: "The e-Cert has expired: renew it first, or apply at a post office.",
    CertificateFault.PERSONAL: "This is an e-Cert (Personal): use your e-Cert (Organisational).",
    CertificateFault.ENCIPHERMENT: "This is an e-Cert (Encipherment): use your e-Cert (Organisational).",
    CertificateFault.NOT_ORGANISATIONAL: "This is not an e-Cert (Organisational).",
    CertificateFault.NOT_MUTUAL_RECOGNITION: "This is not an e-Cert (Organisational) with Mutual Recognition status.",
    CertificateFault.REVOKED: "The e-Cert was revoked: apply at a post office.",
    CertificateFault.SUSPENDED: "The e-Cert is suspended: ask the CA.",
}


class Reasoned(Refused):
    """A refusal with several reasons.

    The class's `reason` is the type of its problem document; an instance's is the fault, its member `reason`.
    """

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.extensions = {"reason": reason}


class CertificateRefused(Reasoned):
    """The e-Cert does not identify an Authorised Representative."""

    reason = "certificate-refused"

    def __init__(self, fault: CertificateFault) -> None:
        super().__init__(fault.value, _ADVICE.get(fault))
        self.fault = fault


class SignatureFault(StrEnum):
    """Reasons for refusing a CMS signature; stable slugs."""

    TOO_LARGE = "signature-too-large"
    NOT_DER = "signature-not-der"
    MALFORMED = "signature-malformed"
    NOT_SIGNED_DATA = "signature-not-signed-data"
    NOT_DETACHED = "signature-not-detached"
    CONTENT_TYPE = "signature-content-type"
    SIGNERS = "signature-not-exactly-one-signer"
    CERTIFICATES = "signature-not-exactly-one-certificate"
    EXTRAS = "signature-carries-unsigned-parts"
    SIGNER_MISMATCH = "signature-names-another-certificate"
    NO_SIGNED_ATTRIBUTES = "signature-without-signed-attributes"
    ATTRIBUTES = "signature-attributes"
    MESSAGE_DIGEST = "signature-of-another-document"
    ALGORITHM = "signature-algorithm"
    ALGORITHM_PROTECTION = "signature-algorithm-protection"
    WEAK_KEY = "signature-weak-key"
    SIGNING_CERTIFICATE = "signature-signing-certificate"
    SIGNING_TIME = "signature-signing-time"
    INVALID = "signature-invalid"


class SignatureRefused(Reasoned):
    """The CMS is not a signature over the document under our profile."""

    reason = "signature-refused"

    def __init__(self, fault: SignatureFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class NotEnrolled(Refused):
    """No AR in office is registered with this e-Cert."""

    reason = "not-enrolled"


class OrganisationMismatch(Refused):
    """The e-Cert names another organisation than the AR's."""

    reason = "organisation-mismatch"


class DocumentFault(StrEnum):
    """Reasons for not attesting a document; stable slugs."""

    PURPOSE = "document-purpose"
    OTHER_RENEWAL = "document-of-another-renewal"
    OTHER_SUBSCRIBER = "document-of-another-subscriber"
    OTHER_REPRESENTATIVE = "document-of-another-representative"
    NONCE = "document-nonce"
    TOO_LARGE = "document-too-large"
    UNREADABLE = "document-unreadable"
    WITHOUT_RENEWAL = "document-without-renewal-id"
    WITHOUT_SUBSCRIBER = "document-without-subscriber"
    WITHOUT_REPRESENTATIVE = "document-without-authorised-representative"
    WITHOUT_NONCE = "document-without-nonce"


class DocumentRefused(Reasoned):
    """The signed document is not an application for the caller's own renewal."""

    reason = "document-refused"

    def __init__(self, fault: DocumentFault) -> None:
        super().__init__(fault.value)


class TicketFault(StrEnum):
    """Reasons for refusing a draft ticket; stable slugs."""

    MISSING = "ticket-missing"
    INVALID = "ticket-invalid"
    EXPIRED = "ticket-expired"
    OTHER_PERSON = "ticket-of-another-representative"
    OTHER_RENEWAL = "ticket-of-another-renewal"
    OTHER_DOCUMENT = "ticket-of-another-document"


class TicketRefused(Reasoned):
    """The request has no valid draft ticket for this AR, renewal and document."""

    reason = "ticket-refused"

    def __init__(self, fault: TicketFault) -> None:
        super().__init__(fault.value)


class OtherCertificate(Refused):
    """The signature was made with another e-Cert than the sign-in."""

    reason = "signed-with-another-certificate"


class NonceSpent(Refused):
    """Another signature over this nonce or renewal is attested already."""

    reason = "nonce-spent"


class RecordUnusable(Refused):
    """The register's record of subscriber or AR cannot be used in a certificate, an e-mail or a letter."""

    reason = "record-unusable"


class OfficeEnded(Refused):
    """The AR no longer acts for the subscriber."""

    reason = "office-ended"


class RedirectRefused(Refused):
    """The return address is not an allowed one: nothing is redirected there, not even an error."""

    reason = "redirect-uri-refused"


class AuthorisationRefused(Refused):
    """The request for a sign-in code is invalid."""

    reason = "invalid-request"


class CodeRefused(Refused):
    """The code does not exist, is used or expired, or belongs to another initiator; the caller cannot distinguish
    these.
    """

    reason = "code-refused"

    def __init__(self) -> None:
        super().__init__("sign in again")


class ChallengeRefused(Refused):
    """The challenge does not exist, or is used or expired."""

    reason = "challenge-refused"


class ARNotFound(Refused):
    """No such AR is in office."""

    reason = "ar-not-found"


class EvidenceNotFound(Refused):
    """No such evidence exists."""

    reason = "evidence-not-found"


class CopyRefused(Refused):
    """A copy of evidence cannot be restored: it does not prove what it says, or something stands against it."""

    reason = "copy-refused"


class EnrolmentRefused(Refused):
    """The enrolment file is invalid."""

    reason = "enrolment-refused"


class RecordNotFound(Refused):
    """No such subscriber exists, or no such AR is in office."""

    reason = "record-not-found"


class EvidenceUnusable(Refused):
    """Register evidence of a verification that has not happened yet, or without a source or a checker."""

    reason = "evidence-unusable"


class EvidenceNotLater(Refused):
    """The register has evidence of a verification that was not earlier."""

    reason = "evidence-not-later"
