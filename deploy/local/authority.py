"""Certification authority for test PKIs: signs certificates and CRLs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Extension = tuple[x509.ExtensionType, bool]
CRL_LIFETIME: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Authority:
    """A CA's certificate with its key. `file` names it in the addresses of its CRL and certificate."""

    certificate: x509.Certificate
    key: PrivateKey
    file: str

    def pointers(self, host: str) -> list[Extension]:
        """Return the extensions that point to this CA: CRL, certificate, key identifier."""
        issuers = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(f"{host}/root/{self.file}.crt")
        )
        crl = x509.DistributionPoint([x509.UniformResourceIdentifier(f"{host}/crl/{self.file}.crl")], None, None, None)
        return [
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
            (x509.AuthorityInformationAccess([issuers]), False),
            (x509.CRLDistributionPoints([crl]), False),
        ]


def name(common_name: str, organisation: str, *, units: Iterable[str] = (), email: str | None = None) -> x509.Name:
    """Return a subject in Hong Kong."""
    attributes = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Hong Kong"),
        x509.NameAttribute(NameOID.LOCALITY_NAME, "Hong Kong"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if email is not None:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    return x509.Name(attributes)


def sign(
    subject: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    *,
    issuer: x509.Name,
    key: PrivateKey,
    lives: tuple[datetime, datetime],
    extensions: Iterable[Extension],
) -> x509.Certificate:
    """Return a certificate for the given period."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(lives[0])
        .not_valid_after(lives[1] - timedelta(seconds=1))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(key, hashes.SHA256())


def ca_extensions(key: PrivateKey, *, path_length: int | None) -> list[Extension]:
    """Return the extensions of a CA certificate."""
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]


def root(common_name: str, file: str, *, begins: datetime, years: int) -> Authority:
    """Return a self-signed CA."""
    key = rsa_key(3072)
    subject = name(common_name, "Hongkong Post (Test)")
    extensions = ca_extensions(key, path_length=None)
    extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False))
    lives = (begins, begins + timedelta(days=365 * years))
    return Authority(
        sign(subject, key.public_key(), issuer=subject, key=key, lives=lives, extensions=extensions), key, file
    )


def subordinate(
    above: Authority, common_name: str, file: str, *, begins: datetime, years: int, extensions: Iterable[Extension]
) -> Authority:
    """Return a CA that signs end-entity certificates only."""
    key = rsa_key(3072)
    certificate = sign(
        name(common_name, "Hongkong Post (Test)"),
        key.public_key(),
        issuer=above.certificate.subject,
        key=above.key,
        lives=(begins, begins + timedelta(days=365 * years)),
        extensions=[*ca_extensions(key, path_length=0), *extensions],
    )
    return Authority(certificate, key, file)


def crl(
    authority: Authority,
    revoked: Iterable[tuple[int, datetime, x509.ReasonFlags]],
    now: datetime,
    *,
    lifetime: timedelta = CRL_LIFETIME,
) -> bytes:
    """Return the CA's CRL as of now, DER; its number grows with its time."""
    now = now.astimezone(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + lifetime)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for serial, moment, reason in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment)
        builder = builder.add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Return a new RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def key_pem(key: PrivateKey) -> bytes:
    """Return a private key, as unencrypted PKCS#8 in PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pkcs12_file(
    name: str, key: PrivateKey, certificate: x509.Certificate, chain: Iterable[x509.Certificate], password: str
) -> bytes:
    """Return a key with its certificate and chain, as browsers and tokens import them."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(100_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )
    return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, list(chain), encryption)


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return the certificates as concatenated PEM."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
