"""Identity's problems: each failure as a client sees it."""

from http import HTTPStatus
from typing import Final

from services.identity.domain import (
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
        HTTPStatus.FORBIDDEN, ClientCertificateMissing.reason, "Sign in with your e-Cert (Organisational)"
    ),
    ClientCertificateMalformed: Problem(
        HTTPStatus.BAD_REQUEST, ClientCertificateMalformed.reason, "The client certificate cannot be read"
    ),
    CertificateRefused: Problem(
        HTTPStatus.FORBIDDEN,
        "certificate-refused",
        "The e-Cert is not accepted",
        members={"reason": one_of(CertificateFault, "Why the e-Cert is not accepted")},
    ),
    RevocationUnknown: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        RevocationUnknown.reason,
        "Whether the e-Cert is revoked cannot be told now; try again later",
        retry_after=60,
    ),
    NotEnrolled: Problem(HTTPStatus.FORBIDDEN, NotEnrolled.reason, "This e-Cert is not registered"),
    OrganisationMismatch: Problem(
        HTTPStatus.FORBIDDEN, OrganisationMismatch.reason, "The e-Cert names another organisation"
    ),
    OfficeEnded: Problem(HTTPStatus.FORBIDDEN, OfficeEnded.reason, "You no longer act for this subscriber"),
    RecordUnusable: Problem(
        HTTPStatus.CONFLICT, RecordUnusable.reason, "The register's record has to be corrected by the CA first"
    ),
    OtherCertificate: Problem(
        HTTPStatus.FORBIDDEN, OtherCertificate.reason, "The signature was made with another e-Cert"
    ),
    SignatureRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "signature-refused",
        "The signature is not accepted",
        members={"reason": one_of(SignatureFault, "Why the signature is not accepted")},
    ),
    DocumentRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "document-refused",
        "The signed document is not your application",
        members={"reason": one_of(DocumentFault, "How the document differs from an application of yours")},
    ),
    TicketRefused: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "ticket-refused",
        "The draft ticket is not one for this document of yours",
        members={"reason": one_of(TicketFault, "Why the draft ticket is not accepted")},
    ),
    NonceSpent: Problem(HTTPStatus.CONFLICT, NonceSpent.reason, "This application was signed before"),
    RedirectRefused: Problem(
        HTTPStatus.BAD_REQUEST, RedirectRefused.reason, "The sign-in was begun by a site that is not known here"
    ),
    AuthorisationRefused: Problem(HTTPStatus.BAD_REQUEST, AuthorisationRefused.reason, "The request is not valid"),
    CodeRefused: Problem(HTTPStatus.FORBIDDEN, CodeRefused.reason, "This sign-in cannot be finished: sign in again"),
    ChallengeRefused: Problem(
        HTTPStatus.CONFLICT, ChallengeRefused.reason, "The challenge was used, or is over: ask for another one"
    ),
}
