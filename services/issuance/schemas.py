"""Request and response bodies of issuance's API; contains no rules."""

from dataclasses import dataclass
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from services.issuance.ca.crl import SUBSCRIBER_REASONS, RevocationReason
from services.issuance.csr_preflight import CheckCSR
from services.issuance.domain import OrderState
from services.issuance.pin_reissue import VoidReason
from shared.pki.names import NameRefused, server_name
from shared.pki.serials import SerialUnreadable, read_serial
from shared.vocabulary import ItemId, Product

# More than the largest product has.
MAX_SERVER_NAMES: Final = 600


class CSRSchema(Schema):
    """A CSR with the order's reference number and the PIN of each of its server names."""

    reference = fields.String(required=True, validate=validate.Length(1, 100))
    pins = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 300)),
        values=fields.String(validate=validate.Length(1, 100)),
        required=True,
        validate=validate.Length(0, 600),
        metadata={"description": "server name → PIN, as the PIN Envelope shows it; empty for a reissue"},
    )
    csr = fields.String(required=True, metadata={"description": "one PKCS#10 request, in PEM"})


def _is_server_name(text: str) -> None:
    try:
        server_name(text)
    except NameRefused as refused:
        raise ValidationError(refused.reason) from refused


def _is_serial(text: str) -> None:
    try:
        read_serial(text)
    except SerialUnreadable as unreadable:
        raise ValidationError(str(unreadable)) from unreadable


class CSRCheckSchema(Schema):
    """A CSR to check for an order, or for the server names of a future one."""

    csr = fields.String(required=True, metadata={"description": "one PKCS#10 request, in PEM"})
    item_id = fields.UUID()
    server_names = fields.List(fields.String(validate=_is_server_name), validate=validate.Length(1, 600))

    @validates_schema
    def one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        """Require either an order, which has its names, or names."""
        if ("item_id" in data) == ("server_names" in data):
            raise ValidationError("Send item_id or server_names, and not both.")

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> CheckCSR:
        """Return the frozen command."""
        item_id = ItemId(data["item_id"]) if "item_id" in data else None
        return CheckCSR(csr=data["csr"], item_id=item_id, server_names=tuple(data.get("server_names", ())))


class ServerNamesSchema(Schema):
    """Server names whose domains are to be proved."""

    server_names = fields.List(
        fields.String(validate=_is_server_name), required=True, validate=validate.Length(1, MAX_SERVER_NAMES)
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> tuple[str, ...]:
        """Return the names in the form used in certificates."""
        return tuple(map(server_name, data["server_names"]))


class ServerNamesQuerySchema(Schema):
    """Server names whose domains are asked for, each as a parameter `server_name`."""

    server_name = fields.List(
        fields.String(validate=_is_server_name), required=True, validate=validate.Length(1, MAX_SERVER_NAMES)
    )


class ObstacleSchema(Schema):
    """An obstacle between a CSR and its certificate, for one server name."""

    server_name = fields.String(required=True)
    kind = fields.String(required=True, metadata={"description": "validation, caa or evidence"})
    reason = fields.String(required=True, metadata={"description": "Stable word; treat unknown ones as one reason"})
    record = fields.String(allow_none=True, metadata={"description": "The CAA record that forbids, as in a zone file"})


class InstructionsSchema(Schema):
    """Places for the random value; any one of them proves control of the domain."""

    record_name = fields.String(
        required=True, allow_none=True, metadata={"description": "Name of the TXT or CNAME record; null if too long"}
    )
    txt_value = fields.String(required=True)
    cname_target = fields.String(required=True)
    file_url = fields.String(required=True)
    file_content = fields.String(required=True)


class SeenSchema(Schema):
    """Content of one place when the CA looked last."""

    kind = fields.String(required=True, validate=validate.OneOf(["txt", "cname", "file", "caa"]))
    outcome = fields.String(required=True, validate=validate.OneOf(["found", "absent", "failed"]))
    reason = fields.String(allow_none=True)
    values = fields.List(fields.String(), required=True)


class DomainSchema(Schema):
    """A domain whose control the subscriber proves. Times are in UTC."""

    domain = fields.String(required=True, metadata={"description": "Without `*.`, in A-labels"})
    server_names = fields.List(fields.String(), required=True, metadata={"description": "Those asked for that need it"})
    parents = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Domains above, the nearest first; a DNS record of one proves this domain, too"},
    )
    state = fields.String(required=True, validate=validate.OneOf(["open", "checking", "proved"]))
    value_until = fields.AwareDateTime(required=True, metadata={"description": "End of the random value's life"})
    instructions = fields.Nested(InstructionsSchema, required=True)
    proved_at = fields.AwareDateTime(required=True, allow_none=True)
    proved_by = fields.String(required=True, allow_none=True, metadata={"description": "The domain that was proved"})
    reusable_until = fields.AwareDateTime(required=True, allow_none=True)
    checked_at = fields.AwareDateTime(required=True, allow_none=True)
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "Why the last look proved nothing; a stable word"}
    )
    quorum = fields.String(
        required=True, allow_none=True, metadata={"description": "Perspectives that saw it too, such as 4/5"}
    )
    seen = fields.List(fields.Nested(SeenSchema), required=True)
    caa = fields.List(
        fields.Nested(ObstacleSchema), required=True, metadata={"description": "What CAA has against the server names"}
    )
    issuer_domain = fields.String(
        required=True, metadata={"description": "Names this CA in a CAA record of tag issue or issuewild"}
    )


class DifferenceSchema(Schema):
    """A name that is in the CSR only, or in the order only."""

    server_name = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["surplus", "missing"]))


class CheckedCSRSchema(Schema):
    """The expected result of submitting this CSR."""

    refusal = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The type of the problem that its submission would get, without urn:ecert:problem:"},
    )
    reason = fields.String(required=True, allow_none=True, metadata={"description": "The finer reason, if it has one"})
    title = fields.String(required=True, allow_none=True)
    detail = fields.String(required=True, allow_none=True)
    key_kind = fields.String(required=True, allow_none=True)
    csr_sha256 = fields.String(required=True, allow_none=True)
    spki_sha256 = fields.String(required=True, allow_none=True, metadata={"description": "Of its public key (DER)"})
    subject = fields.String(required=True, allow_none=True, metadata={"description": "RFC 4514"})
    signature_algorithm = fields.String(
        required=True, allow_none=True, metadata={"description": "Such as rsa-pkcs1v15-sha256 or ecdsa-sha384"}
    )
    names = fields.List(fields.String(), required=True, metadata={"description": "What the CSR asks for"})
    certificate_names = fields.List(
        fields.String(), required=True, metadata={"description": "What the certificate will carry"}
    )
    differences = fields.List(fields.Nested(DifferenceSchema), required=True)


@dataclass(frozen=True, kw_only=True)
class RepositoryQuery:
    """A search of the repository by one criterion; names and serial numbers in canonical form."""

    server_name: str | None = None
    serial: str | None = None
    srn: str | None = None
    after: str | None = None
    limit: int


class RepositoryQuerySchema(Schema):
    """One of `server_name`, `serial` and `srn`, and which page."""

    server_name = fields.String(
        validate=_is_server_name, metadata={"description": "in A-labels or U-labels; a wildcard begins with `*.`"}
    )
    serial = fields.String(validate=_is_serial, metadata={"description": "in hexadecimal, as openssl shows it"})
    srn = fields.String(validate=validate.Regexp(r"[0-9]{10}\Z"), metadata={"description": "of the subscription"})
    after = fields.String(
        validate=validate.Regexp(r"[0-9a-f]{1,40}\Z"), metadata={"description": "`next` of the page before"}
    )
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 100))

    @validates_schema
    def _has_one_criterion(self, data: dict[str, Any], **_: Any) -> None:
        if len({"server_name", "serial", "srn"} & {*data}) != 1:
            raise ValidationError("give one of server_name, serial and srn")

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> RepositoryQuery:
        if "server_name" in data:
            data["server_name"] = server_name(data["server_name"])
        if "serial" in data:
            data["serial"] = read_serial(data["serial"])
        return RepositoryQuery(**data)


class RepositoryCertificateSchema(Schema):
    """A certificate that was accepted for publication. `serial` and `sha256` are lower-case hexadecimal."""

    serial = fields.String(required=True)
    sha256 = fields.String(required=True)
    organisation = fields.String(required=True)
    server_names = fields.List(fields.String(), required=True)
    unicode_names = fields.List(fields.String(), required=True, metadata={"description": "the same in U-labels"})
    not_before = fields.AwareDateTime(required=True)
    not_after = fields.AwareDateTime(required=True)
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)
    revocation_reason = fields.String(
        required=True, allow_none=True, validate=validate.OneOf([reason.value for reason in RevocationReason])
    )


class RepositoryPageSchema(Schema):
    """A page of the repository. `next` is the `after` of the next page, null on the last one."""

    certificates = fields.List(fields.Nested(RepositoryCertificateSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class RevocationSchema(Schema):
    """The subscriber's reason for revoking."""

    reason = fields.String(
        load_default=RevocationReason.UNSPECIFIED.value,
        validate=validate.OneOf(sorted(reason.value for reason in SUBSCRIBER_REASONS)),
    )


class PINSchema(Schema):
    """A PIN Envelope's state. `planned`: not made yet; `sealed`: on its way to the printer, or further."""

    server_name = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["planned", "sealed", "locked", "spent"]))
    tries_left = fields.Integer(required=True)
    new_pins_left = fields.Integer(required=True, metadata={"description": "New PIN Envelopes that may be ordered"})
    lost_from = fields.AwareDateTime(
        required=True, metadata={"description": "Time from which the letter may be ordered again as lost"}
    )


class PINOrderSchema(Schema):
    """Server names for which new PIN Envelopes are ordered, and the reason."""

    server_names = fields.List(
        fields.String(validate=validate.Length(1, 300)), required=True, validate=validate.Length(1, MAX_SERVER_NAMES)
    )
    reason = fields.Enum(
        VoidReason,
        by_value=True,
        required=True,
        metadata={"description": "`lost` is refused while the letter may be in the post, `locked` with tries left"},
    )


class CertificateSchema(Schema):
    """An issued certificate. `serial` is lower-case hexadecimal."""

    serial = fields.String(required=True)
    not_before = fields.AwareDateTime(required=True)
    not_after = fields.AwareDateTime(required=True)
    accepted_at = fields.AwareDateTime(allow_none=True)
    revoked_at = fields.AwareDateTime(allow_none=True)
    revocation_reason = fields.String(
        allow_none=True, validate=validate.OneOf([reason.value for reason in RevocationReason])
    )
    listed_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "Time of the CRL that lists the revocation; in orders only"}
    )


class WindowSchema(Schema):
    """A window of time."""

    start = fields.AwareDateTime(required=True)
    end = fields.AwareDateTime(required=True)


class RenewalInfoSchema(Schema):
    """Suggestion when to replace a certificate (RFC 9773, 4.2)."""

    window = fields.Nested(
        WindowSchema,
        required=True,
        data_key="suggestedWindow",
        metadata={"description": "Choose a random time in it; once it is over, replace at once"},
    )


class OrderSchema(Schema):
    """A certificate to be issued."""

    item_id = fields.UUID(required=True)
    reference = fields.String(required=True)
    srn = fields.String(required=True)
    product = fields.Enum(Product, by_value=True, required=True)
    reissue = fields.Boolean(required=True, metadata={"description": "Whether the CSR needs no PINs"})
    server_names = fields.List(fields.String(), required=True)
    state = fields.Enum(OrderState, by_value=True, required=True)
    key_kind = fields.String(allow_none=True)
    csr_sha256 = fields.Function(lambda order: _hex(order["csr_sha256"]), metadata={"type": ["string", "null"]})
    csr_received_at = fields.AwareDateTime(allow_none=True)
    refusal = fields.String(allow_none=True, metadata={"description": "Why a CSR was discarded or the item refused"})
    obstacles = fields.List(
        fields.Nested(ObstacleSchema), required=True, metadata={"description": "What the certificate waits for"}
    )
    pins = fields.List(fields.Nested(PINSchema), required=True)
    certificate = fields.Nested(CertificateSchema, allow_none=True)


def _hex(value: Any) -> str | None:
    return None if value is None else bytes(value).hex()
