"""A CA and an order for tests of what is issued."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.profiles import Addresses, Leaf, new_serial
from services.issuance.ca.signer import SoftwareSigner
from services.issuance.ca.validity_policy import Validity, validity
from services.issuance.csr import csr
from services.issuance.domain import Organisation
from tests.unit.services.issuance.csr.csrs import csr_der, rsa_key

NOW = datetime(2026, 11, 23, 9, 30, 15, 123456, tzinfo=UTC)
ADDRESSES = Addresses(
    crl_url="http://crl1.ecert.example.hk/crl/ca.crl", ca_issuers_url="http://www1.ecert.example.hk/root/ca.crt"
)
ORGANISATION = Organisation(name="香港例子有限公司 Example (Hong Kong) Limited", country="HK", locality="Hong Kong")
CAKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def authority(
    name: x509.Name,
    key: CAKey,
    *,
    issuer: x509.Name | None = None,
    issuer_key: CAKey | None = None,
    days: int = 3650,
    begins: datetime = NOW,
) -> x509.Certificate:
    """Return a CA certificate; a root if nothing else is said."""
    public = key.public_key()
    signing = issuer_key or key
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - timedelta(days=30))
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        .sign(signing, hashes.SHA256())
    )


def ca_name(common_name: str) -> x509.Name:
    """Return a CA's name as Hong Kong's is spelled."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Hong Kong"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Post"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@cache
def root(kind: str = "rsa") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the root above the sub-CA of this kind, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return authority(ca_name("Example Root CA 3"), key), key


@cache
def issuing_ca(kind: str = "rsa") -> tuple[IssuingCA, SoftwareSigner]:
    """Return a sub-CA under a root, and its key."""
    key: CAKey = rsa_key(3072, 7) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    above, root_key = root(kind)
    sub = authority(ca_name("Example e-Cert SSL CA 3 - 17"), key, issuer=above.subject, issuer_key=root_key)
    return IssuingCA(sub, (above,)), SoftwareSigner(key)


@cache
def root_crl(kind: str = "rsa") -> bytes:
    """Return the root's CRL, which has no entry, in DER."""
    above, key = root(kind)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(above.subject)
        .last_update(NOW - timedelta(days=30))
        .next_update(NOW + timedelta(days=3650))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def leaf(
    *,
    names: tuple[str, ...] = ("www.example.hk",),
    organisation: Organisation = ORGANISATION,
    lives: Validity | None = None,
    spki: bytes | None = None,
) -> Leaf:
    """Return what one certificate shall say."""
    return Leaf(
        serial=new_serial(0x11, lambda count: bytes(range(100, 100 + count))),
        organisation=organisation,
        names=names,
        validity=lives or validity(NOW),
        spki=spki or csr.read_der(csr_der(rsa_key())).spki,
    )
