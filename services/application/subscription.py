"""Subscription: the product that a subscriber has with the CA, and its current certificate."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.application.period import Period
from shared.vocabulary import ARId, Product, SubscriberId


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A subscription that is paid by the year, known by its SRN.

    The certificate is the current one, as PEM, with its `standing`, `serial` and `not_after`. Several follow each other
    within the period that is paid for, the last one until its end.
    """

    srn: str
    subscriber_id: SubscriberId
    subscriber_name: str
    ar_id: ARId
    ar_name: str
    product: Product
    server_names: tuple[str, ...]
    additional_servers: int
    standing: str
    certificate: str
    serial: str
    not_after: datetime
    paid_from: date
    paid_until: date

    @property
    def period(self) -> Period:
        """The paid period."""
        return Period(first=self.paid_from, last=self.paid_until)

    @property
    def key_sha256(self) -> str:
        """The digest of the current certificate's public key, to distinguish a new key from it."""
        key = x509.load_pem_x509_certificate(self.certificate.encode()).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
