"""A CA like Hongkong Post's for tests: a root, sibling sub-CAs, e-Certs (Organisational), CRLs."""

import functools
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime(2026, 11, 23, 4, 0, 0, tzinfo=UTC)
ORGANISATIONAL = ObjectIdentifier("1.3.6.1.4.1.16030.1.1.17.2")
PERSONAL = ObjectIdentifier("1.3.6.1.4.1.16030.1.1.17.1")
ENCIPHERMENT = ObjectIdentifier("1.3.6.1.4.1.16030.1.1.17.3")
ANY_POLICY = ObjectIdentifier("2.5.29.32.0")
CRL_URL = "http://crl.example.hk/sub.crl"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return one key per name, made once a run."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


@functools.cache
def ec_key(name: str, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """Return one key per name, made once a run."""
    return ec.generate_private_key(curve())


def name(common_name: str, organisation: str = "Example CA", *units: str) -> x509.Name:
    """Return a subject laid out as on Hongkong Post certificates: C, O, OUs, CN."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def key_usage(*uses: str) -> x509.KeyUsage:
    """Return a keyUsage extension with these bits."""
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{use: use in uses for use in every})


@dataclass(frozen=True, kw_only=True)
class CA:
    """A CA's certificate and key."""

    certificate: x509.Certificate
    key: Key


@dataclass(frozen=True, kw_only=True)
class Holder:
    """An e-Cert and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def make_ca(
    common_name: str,
    *,
    by: CA | None = None,
    key: Key | None = None,
    path_length: int | None = None,
    uses: tuple[str, ...] = ("key_cert_sign", "crl_sign"),
    not_before: datetime = NOW - timedelta(days=3000),
    not_after: datetime = NOW + timedelta(days=3000),
    policies: tuple[ObjectIdentifier, ...] | None = None,
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> CA:
    """Return a root, or with `by` a sub-CA, of any policy unless others are named; the key goes with the name."""
    if policies is None:
        policies = (ANY_POLICY,) if by else ()
    own_key = key or rsa_key(common_name)
    issuer_key = by.key if by else own_key
    issuer = by.certificate.subject if by else name(common_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(*uses), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if policies:
        stated = [x509.PolicyInformation(oid, None) for oid in policies]
        builder = builder.add_extension(x509.CertificatePolicies(stated), critical=True)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return CA(certificate=builder.sign(issuer_key, hashes.SHA256()), key=own_key)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """Content of an e-Cert (Organisational); the defaults are valid."""

    subject: x509.Name = field(
        default_factory=lambda: name(
            "CHAN TAI MAN", "e-Cert (Organisational)", "0001234567", "12345678" + "0" * 22, "Example Trading Limited"
        )
    )
    key: Key | None = None
    policies: tuple[ObjectIdentifier, ...] = (ORGANISATIONAL,)
    policies_critical: bool = False
    uses: tuple[str, ...] | None = ("digital_signature", "content_commitment")
    extended: tuple[ObjectIdentifier, ...] | None = (
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
    )
    ca: bool = False
    not_before: datetime = NOW - timedelta(days=30)
    not_after: datetime = NOW + timedelta(days=335)
    crl_url: str | None = CRL_URL
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    serial: int | None = None


def issue(ca: CA, leaf: Leaf | None = None, *, signed_by: Key | None = None) -> Holder:
    """Return an e-Cert by this CA."""
    leaf = leaf or Leaf()
    key = leaf.key or rsa_key("holder")
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(leaf.serial or uuid.uuid4().int >> 1)
        .not_valid_before(leaf.not_before)
        .not_valid_after(leaf.not_after)
    )
    for extension, critical in _extensions(ca, leaf, key):
        builder = builder.add_extension(extension, critical=critical)
    return Holder(certificate=builder.sign(signed_by or ca.key, hashes.SHA256()), key=key)


def _extensions(ca: CA, leaf: Leaf, key: Key) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=leaf.ca, path_length=None), True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    if leaf.policies:
        information = [x509.PolicyInformation(oid, None) for oid in leaf.policies]
        found.append((x509.CertificatePolicies(information), leaf.policies_critical))
    if leaf.uses is not None:
        found.append((key_usage(*leaf.uses), True))
    if leaf.extended is not None:
        found.append((x509.ExtendedKeyUsage(leaf.extended), False))
    if leaf.crl_url:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(leaf.crl_url)], None, None, None)
        found.append((x509.CRLDistributionPoints([point]), False))
    return [*found, *leaf.extra]


@dataclass(frozen=True, kw_only=True)
class CRL:
    """Content of a CRL; the defaults are a valid, complete, empty one."""

    number: int | None = 1
    this_update: datetime = NOW - timedelta(hours=1)
    next_update: datetime | None = NOW + timedelta(hours=23)
    revoked: tuple[int, ...] = ()
    reason: x509.ReasonFlags | None = None
    idp: x509.IssuingDistributionPoint | None = None
    issuer: x509.Name | None = None
    authority: x509.AuthorityKeyIdentifier | None = None
    without_authority: bool = False
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    entry_extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()


def make_crl(ca: CA, crl: CRL | None = None, *, signed_by: Key | None = None) -> bytes:
    """Return the DER of a CRL by this CA."""
    crl = crl or CRL()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(crl.issuer or ca.certificate.subject)
        .last_update(crl.this_update)
        .next_update(crl.next_update or NOW)
    )
    authority = crl.authority or x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    if not crl.without_authority:
        builder = builder.add_extension(authority, critical=False)
    if crl.number is not None:
        builder = builder.add_extension(x509.CRLNumber(crl.number), critical=False)
    if crl.idp is not None:
        builder = builder.add_extension(crl.idp, critical=True)
    for extension, critical in crl.extra:
        builder = builder.add_extension(extension, critical=critical)
    for serial in crl.revoked:
        builder = builder.add_revoked_certificate(_entry(crl, serial))
    return builder.sign(signed_by or ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _entry(crl: CRL, serial: int) -> x509.RevokedCertificate:
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(crl.this_update)
    if crl.reason is not None:
        entry = entry.add_extension(x509.CRLReason(crl.reason), critical=False)
    for extension, critical in crl.entry_extra:
        entry = entry.add_extension(extension, critical=critical)
    return entry.build()


@dataclass(frozen=True, kw_only=True)
class World:
    """The root, the sub-CA of e-Certs (Organisational), its sibling, and one AR's e-Cert."""

    root: CA
    sub: CA
    sibling: CA
    holder: Holder

    def crls(self, *revoked: int) -> tuple[bytes, bytes, bytes]:
        """Return good CRLs of the three; the sub-CA's names `revoked`."""
        return make_crl(self.root), make_crl(self.sub, CRL(revoked=revoked)), make_crl(self.sibling)


@functools.cache
def world() -> World:
    """Return the same one all through a run."""
    root = make_ca("Example Root CA 2")
    sub = make_ca("Example e-Cert CA 2 - 17", by=root, path_length=0)
    sibling = make_ca("Example e-Cert CA 2 - 15", by=root, path_length=0)
    return World(root=root, sub=sub, sibling=sibling, holder=issue(sub))
