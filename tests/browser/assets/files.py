"""PKCS#12 files as people have them: today's, yesterday's, and some that cannot sign."""

import subprocess
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from tests.unit.services.identity.builders import Holder, Key, World

PASSWORD: Final = "pässword 密碼"
# OpenSSL itself takes a password of other characters than ASCII as the terminal gives it; keep to ASCII there.
PLAIN_PASSWORD: Final = "of the old file"


def modern(holder: Holder, world: World, password: str = PASSWORD) -> bytes:
    """Return the file as OpenSSL 3 or Windows write it, with its chain; only the holder's own may be signed."""
    return _bundle(holder.key, holder.certificate, [world.sub.certificate, world.root.certificate], password)


def mismatched(key: Key, others: Holder) -> bytes:
    """Return a key beside a certificate that is not its own."""
    return _bundle(key, None, [others.certificate], PASSWORD)


def _bundle(key: Key, own: x509.Certificate | None, more: list[x509.Certificate], password: str) -> bytes:
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(20_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )
    return pkcs12.serialize_key_and_certificates(b"e-Cert", key, own, more, encryption)


def by_openssl(holder: Holder, folder: Path, *options: str) -> Path:
    """Return a file as `openssl pkcs12 -export` writes it with these options."""
    made, key, certificate = folder / "old.p12", folder / "holder.key", folder / "holder.pem"
    key.write_bytes(holder.key_pem)
    certificate.write_text(holder.pem)
    protect = ["-out", str(made), "-passout", f"pass:{PLAIN_PASSWORD}"]
    command = ["openssl", "pkcs12", "-export", *options, "-inkey", str(key), "-in", str(certificate), *protect]
    subprocess.run(command, check=True, capture_output=True)
    return made
