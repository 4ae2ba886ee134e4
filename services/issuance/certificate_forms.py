"""Forms in which certificates are downloaded: DER, PEM, the chain in PEM, and PKCS #7 with certificates only."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from services.issuance.ca.authority import IssuingCA
from services.issuance.publication import NotPublished

DER_TYPE: Final = "application/pkix-cert"
# Registered for a chain (RFC 8555, 9.1); a single certificate in PEM has no registered type.
CHAIN_TYPE: Final = "application/pem-certificate-chain"
PEM_TYPE: Final = "application/x-pem-file"
PKCS7_TYPE: Final = "application/pkcs7-mime"
# Name of each form in addresses → its media type, with parameters, and the suffix of its files (RFC 8551, 3.2.1).
FORMS: Final = {
    "der": (DER_TYPE, "cer"),
    "pem": (PEM_TYPE, "pem"),
    "chain": (CHAIN_TYPE, "pem"),
    "pkcs7": (f"{PKCS7_TYPE}; smime-type=certs-only", "p7c"),
}


@dataclass(frozen=True, kw_only=True)
class CertificateFile:
    """A certificate, or it and its chain, in one form."""

    content: bytes
    media_type: str
    name: str

    @property
    def etag(self) -> str:
        """The strong validator."""
        return sha256(self.content).hexdigest()[:32]


def certificate_file(der: bytes, ca: IssuingCA, form: str, *, stem: str) -> CertificateFile:
    """Return a leaf in this form, for a file called `stem`. Raises NotPublished if there is no such form."""
    if form not in FORMS:
        raise NotPublished(f"the forms are {', '.join(FORMS)}")
    media_type, suffix = FORMS[form]
    chain = [x509.load_der_x509_certificate(der), *ca.served]
    match form:
        case "der":
            content = der
        case "pem":
            content = pem(chain[:1])
        case "chain":
            content = pem(chain)
        case _:
            content = pkcs7.serialize_certificates(chain, Encoding.DER)
    name = f"{stem}-chain.{suffix}" if form == "chain" else f"{stem}.{suffix}"
    return CertificateFile(content=content, media_type=media_type, name=name)


def pem(certificates: list[x509.Certificate]) -> bytes:
    """Return these certificates in PEM, one after the other."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
