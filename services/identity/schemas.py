"""Request and response bodies of identity's API; contains no rules."""

import base64
import binascii
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, post_load, validate

from services.identity import authorising
from services.identity.attesting import Attest
from services.identity.authorising import RedeemCode
from services.identity.challenging import AnswerChallenge
from services.identity.cms import MAX_BYTES as MAX_SIGNATURE_BYTES
from services.identity.document import MAX_BYTES as MAX_DOCUMENT_BYTES
from services.identity.examining import Check
from shared.pki import armour
from shared.vocabulary import RenewalId

_SIGNATURE_LABELS: Final = ("CMS", "PKCS7", "PKCS #7 SIGNED DATA")


class Base64Field(fields.String):
    """Bytes in Base64 (RFC 4648, 4): one spelling, no line breaks."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValidationError("Not Base64.") from error
        if base64.b64encode(raw).decode() != text:
            raise ValidationError("Not canonical Base64.")
        return raw


class SignatureField(Base64Field):
    """CMS in Base64; PEM and UTF-16, which some programs write, are unpacked."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        raw = super()._deserialize(value, attr, data, **kwargs)
        return raw if len(raw) > MAX_SIGNATURE_BYTES else armour.first(raw, *_SIGNATURE_LABELS) or raw


class AttestationRequestSchema(Schema):
    """A signed application."""

    renewal_id = fields.UUID(required=True)
    document = Base64Field(
        required=True,
        validate=validate.Length(1, MAX_DOCUMENT_BYTES),
        metadata={"description": "The document's bytes, as application gave them, in Base64"},
    )
    signature = SignatureField(
        required=True,
        validate=validate.Length(1, MAX_SIGNATURE_BYTES),
        metadata={"description": "Detached CMS SignedData (DER, CAdES B-B) over the document, in Base64"},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Attest:
        """Return the frozen command."""
        return Attest(renewal_id=RenewalId(data["renewal_id"]), document=data["document"], signature=data["signature"])


class AttestationSchema(Schema):
    """The attestation that the AR signed the document, for the submission."""

    evidence_id = fields.UUID(required=True, attribute="id")
    attestation = fields.String(required=True)
    document_sha256 = fields.String(required=True)
    verified_at = fields.AwareDateTime(required=True)


class TokenSchema(Schema):
    """An access token (RFC 6749, 5.1)."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds"})


def _query(name: str, description: str, *, required: bool, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": "string", **schema},
    }


# Parsed by authorising.py, not by a schema: its errors are returned to the portal by redirect.
AUTHORISE_PARAMETERS: Final = [
    _query("redirect_uri", "Where the answer goes; one of PORTAL_REDIRECT_URIS", required=True, format="uri"),
    _query("code_challenge", "SHA-256 of the verifier, Base64url (RFC 7636, S256)", required=True, minLength=43),
    _query("code_challenge_method", "S256, if said at all", required=False, enum=["S256"]),
    _query("state", "Comes back as it is", required=True, minLength=8, maxLength=1024),
    _query("renewal_id", "The renewal that is to be paid, if that is why", required=False, format="uuid"),
]


class CodeSchema(Schema):
    """A code from the sign-in host, with the proof of having started the sign-in."""

    code = fields.String(required=True, validate=validate.Length(1, 100))
    code_verifier = fields.String(required=True, validate=validate.Regexp(authorising.VERIFIER))
    redirect_uri = fields.String(required=True, validate=validate.Length(1, 500))

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> RedeemCode:
        """Return the frozen command."""
        return RedeemCode(**data)


class TokensSchema(TokenSchema):
    """An access token; for a renewal, with the authorisation that payment requires to open a checkout."""

    authorisation = fields.String()


class ChallengeRequestSchema(Schema):
    """The purpose of the sign-in: a renewal if it is to be paid."""

    renewal_id = fields.UUID()


class ChallengeSchema(Schema):
    """A text to sign, byte for byte in UTF-8."""

    challenge_id = fields.UUID(required=True, attribute="id")
    document = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)


class ChallengeAnswerSchema(Schema):
    """A signature over a challenge's document."""

    challenge_id = fields.UUID(required=True)
    signature = SignatureField(
        required=True,
        validate=validate.Length(1, MAX_SIGNATURE_BYTES),
        metadata={"description": "Detached CMS SignedData (DER, CAdES B-B) over the document, in Base64"},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> AnswerChallenge:
        """Return the frozen command."""
        return AnswerChallenge(**data)


class CheckoutRequestSchema(Schema):
    """The renewal to pay."""

    renewal_id = fields.UUID(required=True)


class CheckoutAuthorisationSchema(Schema):
    """The authorisation that payment requires to open a checkout."""

    authorisation = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds"})


class SubscriberSchema(Schema):
    """The organisation."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    name_zh = fields.String(allow_none=True)
    brn = fields.String(required=True)
    country = fields.String(required=True)
    state_or_province = fields.String(allow_none=True)
    locality = fields.String(allow_none=True)


class RepresentativeSchema(Schema):
    """The Authorised Representative."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    name_zh = fields.String(allow_none=True)
    email = fields.String(required=True)
    address = fields.List(fields.String(), required=True)


class CallerSchema(Schema):
    """The signed-in AR, as in the register."""

    subscriber = fields.Nested(SubscriberSchema, required=True)
    authorised_representative = fields.Nested(RepresentativeSchema, required=True)
    certificate_sha256 = fields.String(required=True)


class FindingSchema(Schema):
    """The result of one check of an e-Cert."""

    check = fields.Enum(Check, by_value=True, required=True)
    made = fields.Boolean(required=True, metadata={"description": "false: another fault stands in the way"})
    fault = fields.String(required=True, allow_none=True, metadata={"description": "The reason a sign-in would give"})


class ReportSchema(Schema):
    """The facts of an e-Cert, and the findings."""

    good = fields.Boolean(required=True, metadata={"description": "Signing in with it would work"})
    holder = fields.String(required=True)
    organisation = fields.String(required=True)
    issuer = fields.String(required=True)
    mutual_recognition = fields.Boolean(required=True)
    serial = fields.String(required=True)
    not_before = fields.AwareDateTime(required=True)
    not_after = fields.AwareDateTime(required=True)
    findings = fields.List(fields.Nested(FindingSchema), required=True)
