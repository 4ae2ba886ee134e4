"""Request and response bodies of application's API; contains no rules."""

from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, post_load, validate

from services.application.domain import CURRENCY, EndReason, ItemState, RenewalKind, RenewalState
from services.application.eligibility import ADVICE
from services.application.prices import LineKind
from services.application.submission import DraftItem, DraftRenewal
from services.application.timeline import TimelineEvent
from shared.pki.orderable import MAX_NAMES
from shared.vocabulary import Language, Product


class DraftItemSchema(Schema):
    """A certificate to renew."""

    srn = fields.String(required=True, validate=validate.Regexp(r"[0-9]{10}\Z"))
    additional_servers = fields.Integer(
        strict=True,
        load_default=None,
        validate=validate.Range(0, 500),
        metadata={"description": "The new number, Wildcard renewals only; default: the present number"},
    )
    server_names = fields.List(
        fields.String(validate=validate.Length(1, 300)),
        load_default=None,
        validate=validate.Length(1, MAX_NAMES),
        metadata={"description": "The new names, all of them, Multi-domain renewals only; default: the present names"},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> DraftItem:
        """Return the frozen command."""
        names = data.pop("server_names")
        return DraftItem(**data, server_names=None if names is None else tuple(names))


def _distinct(items: list[DraftItem]) -> None:
    if len({item.srn for item in items}) != len(items):
        raise ValidationError("An SRN is named twice.")


class DraftSchema(Schema):
    """The certificates of one renewal, and the AR's language."""

    kind = fields.Enum(
        RenewalKind,
        by_value=True,
        load_default=RenewalKind.RENEWAL,
        metadata={
            "description": "`reissue`: another certificate within the paid period, for which nothing is to be paid"
        },
    )
    items = fields.List(fields.Nested(DraftItemSchema), required=True, validate=[validate.Length(1, 20), _distinct])
    language = fields.Enum(Language, by_value=True, load_default=Language.ENGLISH)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> DraftRenewal:
        """Return the frozen command."""
        return DraftRenewal(kind=data["kind"], items=tuple(data["items"]), language=data["language"])


class SubmissionSchema(Schema):
    """Identity's attestation that the AR signed the document."""

    attestation = fields.String(
        required=True,
        validate=validate.Length(1, 20_000),
        metadata={"description": "As `POST /identity/v1/attestations` answered it"},
    )


class EligibleSchema(Schema):
    """A subscription and its eligibility for renewal."""

    srn = fields.String(required=True)
    product = fields.Enum(Product, by_value=True, required=True)
    server_names = fields.List(fields.String(), required=True)
    additional_servers = fields.Integer(required=True)
    serial = fields.String(required=True)
    key_sha256 = fields.String(
        required=True, metadata={"description": "SHA-256 of the current certificate's public key (SPKI, DER)"}
    )
    not_after = fields.AwareDateTime(required=True)
    paid_from = fields.Date(required=True, metadata={"description": "First day that is paid for, in Hong Kong"})
    paid_until = fields.Date(required=True, metadata={"description": "Last day that is paid for, in Hong Kong"})
    opens_on = fields.Date(
        required=True, metadata={"description": "First day on which the next year can be bought, in Hong Kong"}
    )
    renew_by = fields.Date(required=True, metadata={"description": "One month before `paid_until`"})
    latest_safe_start = fields.Date(
        required=True,
        metadata={"description": "Last day on which to submit and pay, so that each step ends within the paid period"},
    )
    slack_days = fields.Integer(
        required=True,
        metadata={"description": "Working days until `latest_safe_start`; below zero: it is expected to come too late"},
    )
    late = fields.Boolean(required=True, metadata={"description": "Past `renew_by`: post may take too long"})
    evidence_until = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "Until when a certificate can be issued on the last verification of organisation and "
            "authority; null if that is unknown"
        },
    )
    reason = fields.String(
        allow_none=True,
        validate=validate.OneOf(list(ADVICE)),
        metadata={"description": "Why it cannot be renewed; null if it can"},
    )
    advice = fields.String(allow_none=True, metadata={"description": "What to do instead"})
    reissue_reason = fields.String(
        allow_none=True,
        validate=validate.OneOf(list(ADVICE)),
        metadata={"description": "Why no other certificate can be issued within the paid period; null if one can"},
    )
    renewal_id = fields.UUID(allow_none=True, metadata={"description": "The renewal under way, if there is one"})


class ObstacleSchema(Schema):
    """An obstacle between a CSR and its certificate, for one server name."""

    server_name = fields.String(required=True)
    kind = fields.String(
        required=True, metadata={"description": "`validation` (of the domain), `caa` or `evidence` (of the subscriber)"}
    )
    reason = fields.String(required=True, metadata={"description": "Why, as a code, such as `record-missing`"})
    record = fields.String(allow_none=True, metadata={"description": "The CAA record that forbids the certificate"})


class LineSchema(Schema):
    """A line of a quote, in minor units."""

    kind = fields.Enum(LineKind, by_value=True, required=True)
    number = fields.Integer(required=True)
    unit_minor = fields.Integer(required=True)
    amount_minor = fields.Integer(required=True, metadata={"description": "`number` times `unit_minor`"})


class ItemSchema(Schema):
    """A certificate of a renewal."""

    id = fields.UUID(required=True)
    reference = fields.String(required=True)
    srn = fields.String(required=True)
    product = fields.Enum(Product, by_value=True, required=True)
    server_names = fields.List(fields.String(), required=True)
    present_server_names = fields.List(
        fields.String(), allow_none=True, metadata={"description": "Today's names, if the renewal changes them"}
    )
    additional_servers = fields.Integer(required=True)
    amount_minor = fields.Integer(required=True)
    quote = fields.List(
        fields.Nested(LineSchema),
        required=True,
        metadata={"description": "What the amount is made of; empty if nothing is to be paid"},
    )
    paid_from = fields.Date(
        allow_none=True, metadata={"description": "First day that the amount pays for; null in old documents"}
    )
    paid_until = fields.Date(allow_none=True, metadata={"description": "Last day that the amount pays for"})
    state = fields.Enum(ItemState, by_value=True, required=True)
    serial = fields.String(allow_none=True)
    obstacles = fields.List(
        fields.Nested(ObstacleSchema),
        required=True,
        metadata={"description": "What the certificate waits for; empty if for nothing"},
    )
    waits_until = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "Until when the obstacles can be removed; null while there are none"},
    )


class RefundSchema(Schema):
    """A refund."""

    id = fields.UUID(required=True)
    item_id = fields.UUID(allow_none=True, metadata={"description": "The refused item; null: the rest of the renewal"})
    amount_minor = fields.Integer(required=True)
    refunded_at = fields.AwareDateTime(allow_none=True, metadata={"description": "null while it is under way"})


class TimelineSchema(Schema):
    """A step of the renewal's timeline."""

    time = fields.AwareDateTime(required=True)
    event = fields.String(required=True, validate=validate.OneOf([each.value for each in TimelineEvent]))
    item_id = fields.UUID(allow_none=True)
    detail = fields.String(allow_none=True, metadata={"description": "The facts below as one text"})
    server_name = fields.String(
        attribute="details.server_name", allow_none=True, metadata={"description": "Of a PIN Envelope"}
    )
    registered_number = fields.String(
        attribute="details.registered_number", allow_none=True, metadata={"description": "Of a posted PIN Envelope"}
    )
    serial = fields.String(
        attribute="details.serial", allow_none=True, metadata={"description": "Of an issued certificate"}
    )
    amount_minor = fields.Integer(
        attribute="details.amount_minor", allow_none=True, metadata={"description": "Of a refund"}
    )
    template = fields.String(
        attribute="details.template", allow_none=True, metadata={"description": "Of an e-mail that bounced"}
    )
    reason = fields.String(
        attribute="details.reason", allow_none=True, metadata={"description": "Why, as a code, such as `not-paid`"}
    )
    server_names = fields.List(
        fields.String(),
        attribute="details.server_names",
        allow_none=True,
        metadata={"description": "Of a delay: those whose obstacles the certificate waits for"},
    )


class RenewalSummarySchema(Schema):
    """A renewal with its quote. Amounts in minor units of `currency`."""

    id = fields.UUID(required=True)
    kind = fields.Enum(RenewalKind, by_value=True, required=True)
    reference = fields.String(required=True)
    state = fields.Enum(RenewalState, by_value=True, required=True)
    language = fields.Enum(Language, by_value=True, required=True)
    amount_minor = fields.Integer(required=True)
    currency = fields.String(required=True)
    document_sha256 = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    submitted_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    submit_before = fields.AwareDateTime(required=True, metadata={"description": "Until when a draft can be submitted"})
    ending = fields.Enum(
        EndReason, by_value=True, allow_none=True, metadata={"description": "Why it ends, or is about to, if it does"}
    )


class RenewalSchema(RenewalSummarySchema):
    """A renewal with its items, refunds and timeline."""

    deadline = fields.AwareDateTime(allow_none=True, metadata={"description": "When the present state ends by itself"})
    latest_safe_start = fields.Date(
        allow_none=True,
        metadata={"description": "Last safe day to submit and pay; null if nothing is awaited"},
    )
    slack_days = fields.Integer(
        allow_none=True,
        metadata={"description": "Working days to spare; below zero: expected too late; null if nothing is awaited"},
    )
    items = fields.List(fields.Nested(ItemSchema))
    refunds = fields.List(fields.Nested(RefundSchema))
    timeline = fields.List(fields.Nested(TimelineSchema))


class DocumentSchema(Schema):
    """The document to sign, byte for byte."""

    class Meta:
        """Accepts further members, which are for people to read."""

        unknown = INCLUDE

    purpose = fields.String(required=True)
    renewal_id = fields.UUID(required=True)


class TermsSchema(Schema):
    """Terms; `texts` is by language. The signed document contains the SHA-256 of the whole body."""

    version = fields.String(required=True)
    ruling_language = fields.Enum(Language, by_value=True, required=True)
    texts = fields.Dict(keys=fields.Enum(Language, by_value=True), values=fields.String(), required=True)


class PriceSchema(Schema):
    """The fee of a product for a year. Amounts in minor units of `currency`."""

    product = fields.Enum(Product, by_value=True, required=True)
    version = fields.String(required=True, metadata={"description": "The price list that it is of"})
    effective_from = fields.AwareDateTime(required=True)
    base_minor = fields.Integer(required=True)
    additional_minor = fields.Integer(
        required=True,
        metadata={"description": "Each additional server (Wildcard) or server name (Multi-domain); 0: there is none"},
    )
    currency = fields.Constant(CURRENCY)
