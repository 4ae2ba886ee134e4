"""Problems of identity: each failure as clients see it."""

from http import HTTPStatus
from typing import Final

from services.identity.refusals import (
    AuthorisationRefused,
    CertificateFault,
    CertificateRefused,
    ChallengeRefused,
    CodeRefused,
    DocumentFault,
    DocumentRefused,
    NonceSpent,
    NotEnrolled,
    OfficeEnded,
    OrganisationMismatch,
    OtherCertificate,
    RecordUnusable,
    RedirectRefused,
    SignatureFault,
    SignatureRefused,
    TicketFault,
    TicketRefused,
)
from shared.pki.crls import RevocationUnknown
from shared.web.client_certificate import ClientCertificateMalformed, ClientCertificateMissing
from shared.web.problems import Problem, ProblemTable, one_of

PROBLEMS: Final[ProblemTable] = {
    ClientCertificateMissing: Problem(
        HTTPStatus.FORBIDDEN,
        ClientCertificateMissing.reason,
        "Client certificate missing: sign in with an e-Cert (Organisational)",
    ),
    ClientCertificateMalformed: Problem(
        HTTPStatus.BAD_REQUEST, ClientCertificateMalformed.reason, "Client certificate unreadable"
    ),
    CertificateRefused: Problem(
        HTTPStatus.FORBIDDEN,
        CertificateRefused.reason,
        "E-Cert not accepted",
        members={"reason": one_of(CertificateFault, "Why the e-Cert is not accepted")},
    ),
    RevocationUnknown: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        RevocationUnknown.reason,
        "Revocation of the e-Cert cannot be checked now; try again later",
        retry_after=60,
    ),
    NotEnrolled: Problem(HTTPStatus.FORBIDDEN, NotEnrolled.reason, "E-Cert not registered"),
    OrganisationMismatch: Problem(
        HTTPStatus.FORBIDDEN, OrganisationMismatch.reason, "E-Cert names another organisation"
    ),
    OfficeEnded: Problem(HTTPStatus.FORBIDDEN, OfficeEnded.reason, "No longer an AR of this subscriber"),
    RecordUnusable: Problem(
        HTTPStatus.CONFLICT, RecordUnusable.reason, "Register record must be corrected by the CA first"
    ),
    OtherCertificate: Problem(HTTPStatus.FORBIDDEN, OtherCertificate.reason, "Signature made with another e-Cert"),
    SignatureRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        SignatureRefused.reason,
        "Signature not accepted",
        members={"reason": one_of(SignatureFault, "Why the signature is not accepted")},
    ),
    DocumentRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        DocumentRefused.reason,
        "Signed document is not the caller's application",
        members={"reason": one_of(DocumentFault, "How the document differs from an application of yours")},
    ),
    TicketRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        TicketRefused.reason,
        "Draft ticket not valid for this document",
        members={"reason": one_of(TicketFault, "Why the draft ticket is not accepted")},
    ),
    NonceSpent: Problem(HTTPStatus.CONFLICT, NonceSpent.reason, "Application already signed"),
    RedirectRefused: Problem(HTTPStatus.BAD_REQUEST, RedirectRefused.reason, "Unknown redirect address"),
    AuthorisationRefused: Problem(HTTPStatus.BAD_REQUEST, AuthorisationRefused.reason, "Invalid request"),
    CodeRefused: Problem(HTTPStatus.FORBIDDEN, CodeRefused.reason, "Sign-in code not valid: sign in again"),
    ChallengeRefused: Problem(HTTPStatus.CONFLICT, ChallengeRefused.reason, "Challenge used or expired"),
}
