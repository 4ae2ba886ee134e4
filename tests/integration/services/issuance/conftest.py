"""issuance on a fresh database."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from shared import db
from shared.db import Pool
from tests.integration.services.issuance.world import World
from tests.integration.services.issuance.zone import SET_JSON
from tests.support.builders import signing_key
from tests.support.engines import Database, Postgres
from tests.support.transparency import running_logs
from tests.unit.services.issuance.csr.csrs import private_pem, rsa_key


@pytest.fixture
def issuance(database: Callable[[str], Database], postgres: Postgres) -> Iterator[Database]:
    """A fresh database of issuance; what was issued in it is verified at the end of the run."""
    made = database("issuance")
    yield made
    postgres.issued.keep(made.superuser_url)


@pytest.fixture
def pool(issuance: Database) -> Iterator[Pool]:
    """A pool on it."""
    with db.open_pool(issuance.url, name="test", max_size=30, wait=20) as opened:
        yield opened


@pytest.fixture
def world(pool: Pool) -> World:
    """The service and its partners."""
    return World(pool)


@pytest.fixture
def environment(world: World, issuance: Database, tmp_path: Path) -> dict[str, str]:
    """All settings, as files and addresses."""
    ca = world.issuer.ca
    pem = serialization.Encoding.PEM
    files = {
        "IDENTITY_JWKS_FILE": json.dumps({"keys": [world.identity.jwk()]}).encode(),
        "APPLICATION_JWKS_FILE": json.dumps({"keys": [signing_key("application").jwk()]}).encode(),
        "PAYMENT_JWKS_FILE": json.dumps({"keys": [world.payment.jwk()]}).encode(),
        "PRINT_CERTIFICATE_FILE": world.maker.print_certificate.public_bytes(pem),
        "CA_KEY_FILE": private_pem(rsa_key(3072, 7)).encode(),
        "CA_CERTIFICATE_FILE": ca.certificate.public_bytes(pem),
        "CA_CHAIN_FILE": b"".join(c.public_bytes(pem) for c in ca.chain),
        "PIN_PEPPER_FILE": b"p" * 32,
        "FINGERPRINT_KEY_FILE": b"f" * 32,
        "PERSPECTIVES_FILE": SET_JSON,
        "AUDIT_KEY_FILE": world.identity.key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return issuance.environment | {name: str(tmp_path / name) for name in files} | {
        "ENVIRONMENT": "local",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CT_LOG_LIST_FILE": str(running_logs().list_file),
        "CRL_URL": world.issuer.addresses.crl_url,
        "CA_ISSUERS_URL": world.issuer.addresses.ca_issuers_url,
        "SERIAL_SITE_PREFIX": "17",
        "CAA_ISSUER_DOMAINS": "hongkongpost.gov.hk",
        "VALIDATION_CNAME_SUFFIX": "dcv.ecert.example.hk",
    }  # fmt: skip
