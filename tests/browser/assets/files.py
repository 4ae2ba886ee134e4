"""PKCS#12 files as people have them: today's, yesterday's, and some that cannot sign."""

import subprocess
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from tests.unit.identity.builders import Holder, World

PASSWORD: Final = "pässword 密碼"
# OpenSSL itself takes a password of other characters than ASCII as the terminal gives it; keep to ASCII there.
PLAIN_PASSWORD: Final = "of the old file"


def modern(holder: Holder, world: World, password: str = PASSWORD) -> bytes:
    """As OpenSSL 3 or Windows write it today, with the chain."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(20_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )
    # The CA's certificates too: only the holder's may end up in the signature.
    chain = [world.sub.certificate, world.root.certificate]
    return pkcs12.serialize_key_and_certificates(b"e-Cert", holder.key, holder.certificate, chain, encryption)


def by_openssl(holder: Holder, folder: Path, *options: str) -> Path:
    """As `openssl pkcs12 -export` writes it with these options."""
    made, key, certificate = folder / "old.p12", folder / "holder.key", folder / "holder.pem"
    key.write_bytes(holder.key_pem)
    certificate.write_text(holder.pem)
    protect = ["-out", str(made), "-passout", f"pass:{PLAIN_PASSWORD}"]
    command = ["openssl", "pkcs12", "-export", *options, "-inkey", str(key), "-in", str(certificate), *protect]
    subprocess.run(command, check=True, capture_output=True)
    return made
