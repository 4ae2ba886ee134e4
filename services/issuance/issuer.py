"""Issuer: what the CA does for one certificate, from its serial number to its two verified signatures.

The modules of ca/ do the single steps: validity, profile, lint and the CA's key; those of ct/ the precertificate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from services.issuance.ca import crl_lint, lint, profiles
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.profiles import Addresses, Leaf, SubjectRefused
from services.issuance.ca.signer import Signer, SoftwareSigner
from services.issuance.ca.validity_policy import SubscriptionOver, Validity, validity
from services.issuance.ct import correspondence
from services.issuance.ct import tbs as ct_tbs
from services.issuance.ct.log_list import LogList
from services.issuance.ct.scts import PrecertEntry
from services.issuance.ct.submission import Submission
from services.issuance.domain import Intent, Organisation
from shared.pki.dated_rules import NothingInForce

# A finding on bytes that were stored before certificates had precertificates.
UNPOISONED: Final = "ERROR issuance.no_precertificate"
# Findings that only say that bytes were made too long ago to be signed now.
AGED: Final = frozenset({"ERROR issuance.not_before_not_fresh", "ERROR issuance.validity_too_long", UNPOISONED})
# Refusals of `leaf` and `to_be_signed`: no certificate can be made for this order.
UNCERTIFIABLE: Final = (SubjectRefused, NothingInForce, SubscriptionOver)


class CRLNotClean(Exception):
    """The linter found faults in a CRL: it is not signed, and its age raises an alert."""


class SignatureUnusable(Exception):
    """The signer's answer is no signature of the stored bytes by the CA's key: never stored, never given out."""


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """The CA's certificate and key, and what every certificate points at. `throwaway` signs for the linter alone."""

    ca: IssuingCA
    signer: Signer
    throwaway: SoftwareSigner
    addresses: Addresses
    site_prefix: int
    random: Callable[[int], bytes]

    def leaf(
        self,
        *,
        organisation: Organisation,
        names: tuple[str, ...],
        spki: bytes,
        now: datetime,
        paid_until: date | None,
        stored: Intent | None,
    ) -> Leaf:
        """Return what a certificate signed now shall say, or what the bytes of a stored intent must say."""
        if stored is None:
            serial, period = profiles.new_serial(self.site_prefix, self.random), validity(now, paid_until=paid_until)
        else:  # the linter reads the times off the stored bytes
            serial, period = int(stored.serial, 16), Validity(not_before=now, not_after=now)
        return Leaf(serial=serial, organisation=organisation, names=names, validity=period, spki=spki)

    def to_be_signed(self, leaf: Leaf) -> bytes:
        """Return the to-be-signed bytes of this leaf's precertificate. Raises SubjectRefused."""
        return ct_tbs.precertificate(profiles.leaf_tbs(leaf, self.ca, self.addresses, self.signer.algorithm))

    def names(self, tbs: bytes) -> tuple[x509.GeneralName, ...]:
        """Return the names in the subjectAltName of to-be-signed bytes. Raises ValueError or ExtensionNotFound."""
        unsigned = x509.load_der_x509_certificate(profiles.assemble(tbs, self.signer.algorithm, b""))
        return tuple(unsigned.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)

    def findings(self, tbs: bytes, leaf: Leaf, now: datetime) -> tuple[str, ...]:
        """Return the linter's findings on a precertificate; any of them forbids signing."""
        if not ct_tbs.is_precertificate(tbs):
            return (UNPOISONED,)
        return tuple(str(finding) for finding in lint.findings(tbs, leaf, self.ca, now, self.throwaway))

    def crl_findings(self, tbs: bytes, number: int) -> tuple[str, ...]:
        """Return the linter's findings on a CRL; any of them forbids signing it."""
        return tuple(str(each) for each in crl_lint.findings(tbs, number=number, ca=self.ca, throwaway=self.throwaway))

    def precertificate(self, intent: Intent) -> bytes:
        """Return the signed precertificate of the stored bytes; signed again, the same.

        Raises SignerUnavailable or SignatureUnusable.
        """
        return self._signed(intent.tbs, intent.serial)

    def submission(self, intent: Intent) -> Submission:
        """Return what logs get for an intent whose precertificate is signed."""
        assert intent.precertificate is not None
        parsed = x509.load_der_x509_certificate(intent.precertificate)
        return Submission(
            precertificate=intent.precertificate,
            chain=(
                self.ca.der,
                *(each.public_bytes(Encoding.DER) for each in self.ca.chain if each != self.ca.certificate),
            ),
            entry=PrecertEntry(
                issuer_key_hash=sha256(self.signer.spki).digest(), tbs=ct_tbs.without_poison(intent.tbs)
            ),
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
        )

    def certificate_tbs(self, intent: Intent, sct_list: bytes) -> bytes:
        """Return the certificate's bytes: those of its precertificate with these SCTs instead of the poison."""
        return ct_tbs.certificate(intent.tbs, sct_list)

    def sign(self, intent: Intent, log_list: LogList, now: datetime) -> bytes:
        """Return the certificate of the stored bytes; signed again, the same.

        They are not linted: they must be those of the linted precertificate with verified SCTs.
        Raises CertificateRefused, SignerUnavailable or SignatureUnusable.
        """
        assert intent.certificate_tbs is not None
        correspondence.check(self.submission(intent), intent.tbs, intent.certificate_tbs, log_list, now)
        return self._signed(intent.certificate_tbs, intent.serial)

    def _signed(self, tbs: bytes, serial: str) -> bytes:
        signature = self.signer.sign(tbs)
        der = profiles.assemble(tbs, self.signer.algorithm, signature)
        try:
            x509.load_der_x509_certificate(der).verify_directly_issued_by(self.ca.certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise SignatureUnusable(serial) from error
        if profiles.tbs_of(der) != tbs:
            raise SignatureUnusable(serial)
        return der
