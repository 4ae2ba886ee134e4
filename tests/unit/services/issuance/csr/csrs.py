"""CSRs for tests, good and bad: real keys, one thing wrong at a time."""

from collections.abc import Sequence
from functools import cache

from asn1crypto import csr as asn1_csr
from asn1crypto import pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(bits: int = 2048, serial: int = 0) -> rsa.RSAPrivateKey:
    """Return an RSA key, made once per size (and serial) in a test run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """Return a fresh EC key."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def csr_der(
    key: PrivateKey | None = None,
    *,
    common_name: str | None = None,
    names: Sequence[str] = (),
    general_names: Sequence[x509.GeneralName] = (),
) -> bytes:
    """Return a CSR with this subject and these alternative names."""
    subject = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    alternative: list[x509.GeneralName] = [x509.DNSName(name) for name in names] + list(general_names)
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return builder.sign(key or ec_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def as_pem(der: bytes, label: str = "CERTIFICATE REQUEST") -> str:
    """Return the DER with PEM armour."""
    return str(pem.armor(label, der), "ascii")


def resigned(info: asn1_csr.CertificationRequestInfo, key: PrivateKey) -> bytes:
    """Return a CSR round this request info, signed by this key."""
    der = info.dump(force=True)
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm, signature = "sha256_rsa", key.sign(der, padding.PKCS1v15(), hashes.SHA256())
    else:
        algorithm, signature = "sha256_ecdsa", key.sign(der, ec.ECDSA(hashes.SHA256()))
    request = asn1_csr.CertificationRequest(
        {"certification_request_info": info, "signature_algorithm": {"algorithm": algorithm}, "signature": signature}
    )
    return bytes(request.dump())


def info_of(der: bytes) -> asn1_csr.CertificationRequestInfo:
    """Return the part of a CSR that is signed, to be bent."""
    return asn1_csr.CertificationRequest.load(der)["certification_request_info"].copy()


def private_pem(key: PrivateKey, password: bytes | None = None) -> str:
    """Return the private key in PKCS#8, encrypted if there is a password."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()
