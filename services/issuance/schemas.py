"""HTTP bodies in and out; no rule lives here."""

from typing import Any

from marshmallow import Schema, fields, validate

from services.issuance.crl import SUBSCRIBER_REASONS, RevocationReason
from shared.events.base import Product


class CSRSchema(Schema):
    """A CSR with the order's reference number and the PIN of each of its server names."""

    reference = fields.String(required=True, validate=validate.Length(1, 100))
    pins = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 300)),
        values=fields.String(validate=validate.Length(1, 100)),
        required=True,
        validate=validate.Length(1, 600),
        metadata={"description": "server name → PIN, as the PIN Envelope shows it"},
    )
    csr = fields.String(required=True, metadata={"description": "one PKCS#10 request, in PEM"})


class RevocationSchema(Schema):
    """Why the subscriber revokes."""

    reason = fields.String(
        load_default=RevocationReason.UNSPECIFIED.value,
        validate=validate.OneOf(sorted(reason.value for reason in SUBSCRIBER_REASONS)),
    )


class PINSchema(Schema):
    """A PIN Envelope's state. `planned`: not made yet; `sealed`: on its way to the printer, or further."""

    server_name = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["planned", "sealed", "locked", "spent"]))
    tries_left = fields.Integer(required=True)


class CertificateSchema(Schema):
    """An issued certificate. `serial` is lower-case hexadecimal."""

    serial = fields.String(required=True)
    not_before = fields.AwareDateTime(required=True)
    not_after = fields.AwareDateTime(required=True)
    accepted_at = fields.AwareDateTime(allow_none=True)
    revoked_at = fields.AwareDateTime(allow_none=True)
    revocation_reason = fields.String(allow_none=True)


class OrderSchema(Schema):
    """One certificate to be issued."""

    item_id = fields.UUID(required=True)
    reference = fields.String(required=True)
    srn = fields.String(required=True)
    product = fields.Enum(Product, by_value=True, required=True)
    server_names = fields.List(fields.String(), required=True)
    state = fields.String(required=True)
    key_kind = fields.String(allow_none=True)
    csr_sha256 = fields.Function(lambda order: _hex(order["csr_sha256"]), metadata={"type": "string"})
    csr_received_at = fields.AwareDateTime(allow_none=True)
    refusal = fields.String(allow_none=True, metadata={"description": "Why a CSR was set aside or the item refused"})
    pins = fields.List(fields.Nested(PINSchema), required=True)
    certificate = fields.Nested(CertificateSchema, allow_none=True)


def _hex(value: Any) -> str | None:
    return None if value is None else bytes(value).hex()
