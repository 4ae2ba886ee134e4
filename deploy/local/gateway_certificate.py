"""Gateway's certificate: one for all hosts, under a root of its own."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.gateway.rules import (
    API_HOST,
    BACK_OFFICE_HOST,
    DESK_HOST,
    PORTAL_HOST,
    SIGN_IN_HOST,
    SIGN_IN_TLS_1_2_HOST,
)
from deploy.local import authority as ca
from deploy.local.passwords import write_private

GATEWAY_HOSTS: Final = (API_HOST, SIGN_IN_HOST, SIGN_IN_TLS_1_2_HOST, PORTAL_HOST, BACK_OFFICE_HOST, DESK_HOST)


def write(folder: Path, now: datetime) -> None:
    """Write the certificate under a root of its own, whose key is not kept, since browsers are asked to trust
    it.

    The certificate comes last: if it is missing, or lacks a name, everything is created again.
    """
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = ca.name("e-Cert renewal, local gateway root", "This machine")
    lives = (now - timedelta(days=1), now + timedelta(days=820))
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in GATEWAY_HOSTS])
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    root = ca.sign(
        root_name,
        root_key.public_key(),
        issuer=root_name,
        key=root_key,
        lives=lives,
        extensions=[
            *ca.ca_extensions(root_key, path_length=0),
            (x509.NameConstraints([x509.DNSName("ecert.localhost")], None), True),
        ],
    )
    leaf = ca.sign(
        ca.name(GATEWAY_HOSTS[0], "This machine"),
        key.public_key(),
        issuer=root_name,
        key=root_key,
        lives=lives,
        extensions=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (names, False),
            (authority_key, False),
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root.pem").write_bytes(ca.certificate_pem(root))
    write_private(folder / "tls.key", ca.key_pem(key))
    (folder / "tls.pem").write_bytes(ca.certificate_pem(leaf))


def names_every_host(file: Path) -> bool:
    """Return whether the certificate in this file is for all hosts."""
    if not file.exists():
        return False
    names = x509.load_pem_x509_certificate(file.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return set(GATEWAY_HOSTS) <= set(names.value.get_values_for_type(x509.DNSName))
