"""Signs CMS by hand, so that a test can make each mistake and each forgery alone."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.unit.services.identity.builders import NOW, Holder

HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
Attributes = list[cms.CMSAttribute]
DOCUMENT = b'{"purpose":"hk.ecert.renewal-application.v1"}'


def attribute(kind: str, *values: Any) -> cms.CMSAttribute:
    """Return one attribute with these values."""
    return cms.CMSAttribute({"type": kind, "values": list(values)})


def as_asn1(holder: Holder) -> x509.Certificate:
    """Return the holder's certificate for asn1crypto."""
    return x509.Certificate.load(holder.der)


def signing_certificate(holder: Holder, **changes: Any) -> cms.CMSAttribute:
    """Return signingCertificateV2 for this certificate; `changes` replace its fields."""
    entry = {"cert_hash": hashlib.sha256(holder.der).digest(), **changes}
    return attribute("signing_certificate_v2", tsp.SigningCertificateV2({"certs": [tsp.ESSCertIDv2(entry)]}))


def issuer_serial(holder: Holder, serial: int | None = None) -> tsp.IssuerSerial:
    """Return the optional second half of an ESSCertIDv2."""
    certificate = as_asn1(holder)
    names = [x509.GeneralName("directory_name", certificate.issuer)]
    return tsp.IssuerSerial({"issuer": names, "serial_number": serial or certificate.serial_number})


@dataclass(frozen=True, kw_only=True)
class Sign:
    """Options of a signature; the defaults make one that the profile accepts."""

    document: bytes = DOCUMENT
    digest: str = "sha256"
    inner_digest: str | None = None
    algorithm: str | None = None
    parameters: dict[str, Any] | None = None
    when: datetime = NOW
    change_attributes: Callable[[Attributes], Attributes] = lambda attributes: attributes
    change_signer: Callable[[cms.SignerInfo], cms.SignerInfo] = lambda signer: signer
    change_signed_data: Callable[[cms.SignedData], cms.SignedData] = lambda signed_data: signed_data
    without_attributes: bool = False
    key_id: bytes | None = None


def sign(holder: Holder, how: Sign | None = None, **changes: Any) -> bytes:
    """Return the DER of a detached SignedData by this holder."""
    how = replace(how or Sign(), **changes)
    signer = how.change_signer(_signer(holder, how))
    signed_data = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [algos.DigestAlgorithm({"algorithm": how.digest})],
            "encap_content_info": {"content_type": "data"},
            "certificates": [cms.CertificateChoices("certificate", as_asn1(holder))],
            "signer_infos": [signer],
        }
    )
    content = how.change_signed_data(signed_data)
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": content}).dump())


def attributes_of(holder: Holder, how: Sign) -> Attributes:
    """Return the attributes that the profile asks for."""
    found = [
        attribute("content_type", "data"),
        attribute("signing_time", cms.Time("utc_time", core.UTCTime(how.when))),
        attribute("message_digest", hashlib.new(how.inner_digest or how.digest, how.document).digest()),
        signing_certificate(holder),
    ]
    return how.change_attributes(found)


def _signer(holder: Holder, how: Sign) -> cms.SignerInfo:
    certificate = as_asn1(holder)
    attributes = cms.CMSAttributes(attributes_of(holder, how))
    message = how.document if how.without_attributes else b"\x31" + attributes.dump()[1:]
    if how.key_id is not None:
        sid = cms.SignerIdentifier("subject_key_identifier", core.OctetString(how.key_id))
    else:
        names = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
        sid = cms.SignerIdentifier("issuer_and_serial_number", names)
    fields = {
        "version": "v1" if how.key_id is None else "v3",
        "sid": sid,
        "digest_algorithm": {"algorithm": how.digest},
        "signature_algorithm": _algorithm(holder, how),
        "signature": signature(holder, message, how),
    }
    if not how.without_attributes:
        fields["signed_attrs"] = attributes
    return cms.SignerInfo(fields)


def _algorithm(holder: Holder, how: Sign) -> algos.SignedDigestAlgorithm:
    if how.algorithm == "rsassa_pss":
        return algos.SignedDigestAlgorithm(
            {"algorithm": "rsassa_pss", "parameters": algos.RSASSAPSSParams(how.parameters or pss(how.digest))}
        )
    default = "rsassa_pkcs1v15" if isinstance(holder.key, rsa.RSAPrivateKey) else f"{how.digest}_ecdsa"
    return algos.SignedDigestAlgorithm({"algorithm": how.algorithm or default})


def _name(algorithm: Any) -> str:
    return str(algorithm["algorithm"] if isinstance(algorithm, dict) else algorithm["algorithm"].native)


def pss(digest: str, mask: str | None = None, salt: int | None = None) -> dict[str, Any]:
    """Return RSASSA-PSS parameters, in agreement unless given otherwise."""
    return {
        "hash_algorithm": {"algorithm": digest},
        "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": mask or digest}},
        "salt_length": HASHES[digest].digest_size if salt is None else salt,
    }


def signature(holder: Holder, message: bytes, how: Sign) -> bytes:
    """Return the signature value alone."""
    digest = HASHES[how.digest]
    if isinstance(holder.key, ec.EllipticCurvePrivateKey):
        return holder.key.sign(message, ec.ECDSA(digest))
    if how.algorithm == "rsassa_pss":
        parameters = how.parameters or pss(how.digest)
        mask = HASHES[_name(parameters["mask_gen_algorithm"]["parameters"])]
        scheme = padding.PSS(mgf=padding.MGF1(mask), salt_length=parameters["salt_length"])
        return holder.key.sign(message, scheme, HASHES[parameters["hash_algorithm"]["algorithm"]])
    return holder.key.sign(message, padding.PKCS1v15(), digest)
