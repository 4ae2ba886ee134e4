"""CRLs of the client CAs: re-creation of all, and revocation of a certificate."""

import json
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.local import authority as ca


def write_crls(keys: Path, folder: Path, now: datetime) -> None:
    """Re-create the CRL of every CA whose key is in `keys`, one file each, replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    for certificate in sorted(keys.glob("*.pem")):
        authority = _load(certificate)
        entries = json.loads(certificate.with_suffix(".revoked.json").read_text())
        revoked = [
            (int(each["serial"], 16), datetime.fromisoformat(each["at"]), x509.ReasonFlags.key_compromise)
            for each in entries
        ]
        partial = folder / f".{authority.file}.new"
        partial.write_bytes(ca.crl(authority, revoked, now))
        partial.replace(folder / f"{authority.file}.crl")


def revoke(keys: Path, folder: Path, certificate: x509.Certificate, now: datetime) -> None:
    """Add a certificate to its issuer's CRL."""
    for issuer in keys.glob("*.pem"):
        if _load(issuer).certificate.subject == certificate.issuer:
            listing = issuer.with_suffix(".revoked.json")
            entries = json.loads(listing.read_text())
            entries.append({"serial": f"{certificate.serial_number:x}", "at": now.isoformat()})
            listing.write_text(json.dumps(entries))
    write_crls(keys, folder, now)


def _load(certificate: Path) -> ca.Authority:
    key = load_pem_private_key(certificate.with_suffix(".key").read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{certificate}: the CA's key is not RSA")
    return ca.Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), key, certificate.stem)
