"""Issuer: what the CA does for one certificate, from its serial number to its verified signature.

The modules of ca/ do the single steps: validity, profile, lint and the CA's key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from services.issuance.ca import crl_lint, lint, profiles
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.profiles import Addresses, Leaf, SubjectRefused
from services.issuance.ca.signer import Signer, SoftwareSigner
from services.issuance.ca.validity_policy import SubscriptionOver, Validity, validity
from services.issuance.domain import Intent, Organisation
from shared.pki.dated_rules import NothingInForce

# Findings that only say that bytes were made too long ago to be signed now.
AGED: Final = frozenset({"ERROR issuance.not_before_not_fresh", "ERROR issuance.validity_too_long"})
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
        self, *, organisation: Organisation, names: tuple[str, ...], spki: bytes, now: datetime, stored: Intent | None
    ) -> Leaf:
        """Return what a certificate signed now shall say, or what the bytes of a stored intent must say."""
        if stored is None:
            serial, period = profiles.new_serial(self.site_prefix, self.random), validity(now)
        else:  # the linter reads the times off the stored bytes
            serial, period = int(stored.serial, 16), Validity(not_before=now, not_after=now)
        return Leaf(serial=serial, organisation=organisation, names=names, validity=period, spki=spki)

    def to_be_signed(self, leaf: Leaf) -> bytes:
        """Return the to-be-signed bytes of this leaf. Raises SubjectRefused."""
        return profiles.leaf_tbs(leaf, self.ca, self.addresses, self.signer.algorithm)

    def findings(self, tbs: bytes, leaf: Leaf, now: datetime) -> tuple[str, ...]:
        """Return the linter's findings; any of them forbids signing."""
        return tuple(str(finding) for finding in lint.findings(tbs, leaf, self.ca, now, self.throwaway))

    def crl_findings(self, tbs: bytes, number: int) -> tuple[str, ...]:
        """Return the linter's findings on a CRL; any of them forbids signing it."""
        return tuple(str(each) for each in crl_lint.findings(tbs, number=number, ca=self.ca, throwaway=self.throwaway))

    def sign(self, intent: Intent) -> bytes:
        """Return the certificate of the stored bytes; signed again, the same.

        Raises SignerUnavailable or SignatureUnusable.
        """
        signature = self.signer.sign(intent.tbs)
        der = profiles.assemble(intent.tbs, self.signer.algorithm, signature)
        try:
            x509.load_der_x509_certificate(der).verify_directly_issued_by(self.ca.certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise SignatureUnusable(intent.serial) from error
        if profiles.tbs_of(der) != intent.tbs:
            raise SignatureUnusable(intent.serial)
        return der
