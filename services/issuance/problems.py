"""Problems of issuance's HTTP API: each refusal with its status, slug and title."""

from http import HTTPStatus
from typing import Final

from services.issuance.csr.csr import (
    CSRFault,
    CSRRefused,
    KeyFault,
    KeyRefused,
    NamesDiffer,
    PrivateKeyPasted,
    WeakSignature,
)
from services.issuance.pins.pins import PINSlip
from services.issuance.publication import NotPublished
from services.issuance.refusals import (
    CertificateExpired,
    CertificateNotFound,
    DomainNotFound,
    InvalidTransition,
    KeyNotAllowed,
    KeyObjection,
    OrderNotFound,
    PINLocked,
    PINNotLocked,
    PINNotReady,
    PINsMissing,
    PINsUsedUp,
    PINTooRecent,
    PINWrong,
    TooManyDomains,
    WrongReference,
)
from shared.web.auth import SignInTooOld
from shared.web.problems import Problem, ProblemTable, names, one_of

_UNPROCESSABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY
_CSR_REASON: Final = {"reason": one_of(CSRFault, "Why the CSR cannot be used")}
PROBLEMS: Final[ProblemTable] = {
    NotPublished: Problem(HTTPStatus.NOT_FOUND, NotPublished.reason, "No such file is published"),
    SignInTooOld: Problem(HTTPStatus.UNAUTHORIZED, SignInTooOld.reason, "Sign-in too old for this operation"),
    OrderNotFound: Problem(HTTPStatus.NOT_FOUND, OrderNotFound.reason, "Unknown order"),
    CertificateNotFound: Problem(HTTPStatus.NOT_FOUND, CertificateNotFound.reason, "No certificate issued yet"),
    DomainNotFound: Problem(HTTPStatus.NOT_FOUND, DomainNotFound.reason, "Domain not begun"),
    TooManyDomains: Problem(HTTPStatus.CONFLICT, TooManyDomains.reason, "Too many domains of one subscriber"),
    InvalidTransition: Problem(HTTPStatus.CONFLICT, InvalidTransition.reason, "Order state does not allow this"),
    CertificateExpired: Problem(HTTPStatus.CONFLICT, CertificateExpired.reason, "Certificate has expired"),
    CSRRefused: Problem(_UNPROCESSABLE, CSRRefused.reason, "CSR not usable", members=_CSR_REASON),
    WeakSignature: Problem(
        _UNPROCESSABLE, WeakSignature.reason, "CSR signature too weak; sign with SHA-256", members=_CSR_REASON
    ),
    NamesDiffer: Problem(
        _UNPROCESSABLE,
        NamesDiffer.reason,
        "CSR names differ from the order",
        members={
            **_CSR_REASON,
            "surplus": names("Names of the CSR that were not ordered"),
            "missing": names("Ordered names that the CSR lacks"),
        },
    ),
    PrivateKeyPasted: Problem(
        _UNPROCESSABLE,
        PrivateKeyPasted.reason,
        "Private key sent; it is compromised, make a new one",
        members=_CSR_REASON,
    ),
    KeyRefused: Problem(
        _UNPROCESSABLE,
        KeyRefused.reason,
        "CSR key not allowed",
        members={"reason": one_of(KeyFault, "Why the key is not allowed")},
    ),
    KeyNotAllowed: Problem(
        _UNPROCESSABLE,
        KeyNotAllowed.reason,
        "CSR key not allowed for this order",
        members={"reason": one_of([*KeyObjection, KeyFault.WEAK], "Why the key may not be used")},
    ),
    WrongReference: Problem(_UNPROCESSABLE, WrongReference.reason, "Reference number is not the order's"),
    PINsMissing: Problem(
        _UNPROCESSABLE,
        PINsMissing.reason,
        "PINs must be exactly one for each server name of the order",
        members={
            "missing": names("Server names without a PIN"),
            "surplus": names("Names with a PIN that the order does not have"),
        },
    ),
    PINSlip: Problem(
        _UNPROCESSABLE,
        PINSlip.reason,
        "PIN mistyped; no attempt consumed",
        members={"mistyped": names("Server names whose PIN fails its check digit")},
    ),
    PINNotReady: Problem(HTTPStatus.CONFLICT, PINNotReady.reason, "PIN Envelope not made yet"),
    PINWrong: Problem(
        HTTPStatus.FORBIDDEN,
        PINWrong.reason,
        "PIN wrong",
        members={
            "wrong": {
                "type": "array",
                "description": "Server names whose PIN is wrong, each with the tries it has left",
                "items": {
                    "type": "object",
                    "required": ["server_name", "tries_left"],
                    "properties": {"server_name": {"type": "string"}, "tries_left": {"type": "integer"}},
                    "additionalProperties": False,
                },
            }
        },
    ),
    PINLocked: Problem(
        HTTPStatus.FORBIDDEN,
        PINLocked.reason,
        "PIN locked after five failed attempts",
        members={"locked": names("Server names whose PIN Envelope must be replaced")},
    ),
    PINTooRecent: Problem(
        HTTPStatus.CONFLICT,
        PINTooRecent.reason,
        "PIN Envelope may still be in the post",
        members={
            "too_recent": {
                "type": "array",
                "description": "Server names, each with the time from which its letter counts as lost",
                "items": {
                    "type": "object",
                    "required": ["server_name", "possible_from"],
                    "properties": {
                        "server_name": {"type": "string"},
                        "possible_from": {"type": "string", "format": "date-time"},
                    },
                    "additionalProperties": False,
                },
            }
        },
    ),
    PINsUsedUp: Problem(
        HTTPStatus.CONFLICT,
        PINsUsedUp.reason,
        "No further PIN Envelope for a server name",
        members={"used_up": names("Server names for which the CA's staff decide")},
    ),
    PINNotLocked: Problem(
        HTTPStatus.CONFLICT,
        PINNotLocked.reason,
        "PIN is not locked",
        members={"not_locked": names("Server names whose PIN has tries left")},
    ),
}
