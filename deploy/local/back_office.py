"""Sample readers of the feed: client certificates of the back office's systems, their CA, and their registration."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.local import authority as ca
from deploy.local.passwords import write_private
from services.issuance.feed import readers
from services.issuance.feed.readers import Role
from shared.tx import Tx

_LIFETIME: Final = timedelta(days=730)


@dataclass(frozen=True, kw_only=True)
class SampleClient:
    """A back-office system with a client certificate; registered in this role, or not registered."""

    name: str
    role: Role | None
    what: str


CLIENTS: Final = (
    SampleClient(name="backoffice", role=Role.READER, what="reads issuance events, here and over Kafka"),
    SampleClient(name="archive", role=Role.READER, what="another reader, with rights of its own"),
    SampleClient(name="monitor", role=Role.MONITOR, what="sees how far the feed is, and no event"),
    SampleClient(name="stranger", role=None, what="of the same CA, but not registered"),
)


def write(folder: Path, now: datetime) -> None:
    """Write the back office's CA and its clients' certificates: NAME.pem and NAME.key. ca.pem comes last."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = ca.name("Back office CA (Test)", "Hongkong Post (Test)")
    lives = (now - timedelta(days=1), now + 5 * _LIFETIME)
    root = ca.sign(
        issuer, key.public_key(), issuer=issuer, key=key, lives=lives, extensions=ca.ca_extensions(key, path_length=0)
    )
    for client in CLIENTS:
        _write_client(folder, client.name, root, key, now)
    write_private(folder / "ca.key", ca.key_pem(key))
    (folder / "ca.pem").write_bytes(ca.certificate_pem(root))


def _write_client(
    folder: Path, client: str, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = ca.sign(
        ca.name(client, "Hongkong Post (Test)", units=("Back office",)),
        key.public_key(),
        issuer=root.subject,
        key=root_key,
        lives=(now - timedelta(days=1), now + _LIFETIME),
        extensions=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False),
        ],
    )
    write_private(folder / f"{client}.key", ca.key_pem(key))
    (folder / f"{client}.pem").write_bytes(ca.certificate_pem(certificate))


def register(folder: Path, database_url: str) -> None:
    """Register the sample clients with issuance, as its operator does; known ones are skipped."""
    with psycopg.connect(database_url) as conn:
        known = {reader.certificate_sha256 for reader in readers.everyone(conn)}
        for client in CLIENTS:
            pem = (folder / f"{client.name}.pem").read_bytes()
            fingerprint = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()
            if client.role is not None and fingerprint not in known:
                tx = Tx(conn=conn, now=datetime.now(UTC))
                readers.register(tx, client.name, client.role, pem, actor="make run")
