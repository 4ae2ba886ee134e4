"""Webhooks go over TLS to a bare loopback address, and only to a server that proves the name."""

import ssl
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from devtools.payment_sandbox import webhooks
from devtools.payment_sandbox.store import Store
from devtools.payment_sandbox.webhooks import Deliverer, Merchant
from tests.integration.services.payment.sandbox_process import NEW_SECRET, running_merchant

NAME = "api.ecert.localhost"


def write_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a self-signed server certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "server.pem", folder / "server-key.pem"
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


@pytest.mark.parametrize(("certificate_name", "arrives"), [(NAME, True), ("other.ecert.localhost", False)])
def test_webhook_is_sent_only_to_a_server_with_a_certificate_of_its_name(
    tmp_path: Path, certificate_name: str, arrives: bool
) -> None:
    certificate_file, key_file = write_certificate(tmp_path, certificate_name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    store = Store(tmp_path / "sandbox.sqlite")
    store.prepare()
    with store.transaction() as conn:
        webhooks.owe(conn, "checkout.paid", "cs_1", str(uuid.uuid4()), now=0)
    with running_merchant(context) as merchant:
        deliverer = Deliverer(store, Merchant(merchant.url, [NEW_SECRET], NAME, str(certificate_file)))
        assert deliverer.deliver_next(webhooks.pool_for(deliverer.merchant))
        assert [one.headers["host"] for one in merchant.received] == ([NAME] if arrives else [])
    with store.reading() as conn:
        assert bool(conn.execute("SELECT delivered FROM deliveries").fetchone()[0]) is arrives
