"""Request and response bodies of the operator API."""

from marshmallow import Schema, fields, validate

REASON_LENGTH = 500


class ReasonSchema(Schema):
    """A reason for the audit log."""

    reason = fields.String(
        required=True,
        validate=[validate.Length(min=1, max=REASON_LENGTH), validate.Regexp(r".*\S", error="Say why.")],
    )


class PageSchema(Schema):
    """A page of a list."""

    after = fields.String(metadata={"description": "`next` of the page before"})
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class ProposalSchema(Schema):
    """A proposal to skip an event, which awaits another person's approval."""

    id = fields.UUID(required=True)
    reason = fields.String(required=True)
    proposed_by = fields.String(required=True)
    proposed_at = fields.AwareDateTime(required=True)


class HeldSchema(Schema):
    """A held event."""

    id = fields.Integer(required=True)
    topic = fields.String(required=True)
    key = fields.String(required=True)
    sequence = fields.Integer(required=True, allow_none=True)
    event_id = fields.UUID(required=True, allow_none=True)
    type = fields.String(required=True, allow_none=True)
    at = fields.String(required=True, metadata={"description": "partition/offset"})
    reason = fields.String(required=True)
    error = fields.String(required=True)
    parked_at = fields.AwareDateTime(required=True)
    proposal = fields.Nested(ProposalSchema, required=True, allow_none=True)


class HeldPageSchema(Schema):
    """Held events by topic, key and sequence."""

    events = fields.List(fields.Nested(HeldSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class HeldDetailSchema(HeldSchema):
    """A held event with its redacted headers and data."""

    headers = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    data = fields.Raw(required=True)


class ProgressSchema(Schema):
    """The key's last sequence applied."""

    last_sequence = fields.Integer(required=True)
    held = fields.Integer(required=True, metadata={"description": "How many events of the key are still held"})


class ProposedSchema(Schema):
    """The new proposal."""

    id = fields.UUID(required=True)
