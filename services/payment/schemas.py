"""Request and response bodies of payment's API."""

from marshmallow import Schema, fields, validate

from services.payment.domain import PaymentState, RefundState


class OpenCheckoutSchema(Schema):
    """Request to open a checkout: the renewal, and identity's authorisation for it."""

    renewal_id = fields.UUID(required=True)
    authorisation = fields.String(required=True, validate=validate.Length(1, 4096))


class CheckoutSchema(Schema):
    """An open checkout."""

    renewal_id = fields.UUID(required=True)
    payment_id = fields.UUID(required=True)
    checkout_url = fields.URL(required=True, require_tld=False)
    amount_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    pay_before = fields.AwareDateTime(required=True, format="iso")


class RefundSchema(Schema):
    """A refund."""

    refund_id = fields.UUID(required=True, attribute="id")
    item_id = fields.UUID(required=True, allow_none=True)
    amount_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    state = fields.Enum(RefundState, by_value=True, required=True)
    refunded_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")


class PaymentSchema(Schema):
    """The state of a payment."""

    renewal_id = fields.UUID(required=True)
    payment_id = fields.UUID(required=True, attribute="id")
    reference = fields.String(required=True)
    state = fields.Enum(PaymentState, by_value=True, required=True)
    amount_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    pay_before = fields.AwareDateTime(required=True, format="iso")
    captured_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    refunds = fields.List(fields.Nested(RefundSchema), required=True)


class ReceiptSchema(Schema):
    """A receipt, readable and signed."""

    renewal_id = fields.UUID(required=True)
    payment_id = fields.UUID(required=True)
    reference = fields.String(required=True)
    payer_name = fields.String(required=True)
    amount_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    captured_at = fields.AwareDateTime(required=True, format="iso")
    provider_reference = fields.String(required=True)
    document_sha256 = fields.String(required=True)
    signed = fields.String(required=True, metadata={"description": "JWS with the same claims, signed by payment"})
