"""Set-up of a desk for one test: its staff, its database, its app, and its operators' API."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509

from backoffice.desk import staff
from backoffice.desk.app import create_app
from backoffice.desk.operators import Operators
from backoffice.desk.settings import Settings
from backoffice.desk.staff import Trust
from backoffice.desk.web import Deps
from deploy.local import staff as local_staff
from deploy.local.crls import write_crls
from shared import db
from shared.db import Pool
from shared.settings import KafkaSettings, WebSettings
from shared.tx import transaction
from tests.integration.backoffice.desk.world import URL, Publication, Staff, World, consumer, operating
from tests.support.builders import NOW, signing_key


def make_members(folder: Path) -> Staff:
    """Return the staff CA, its CRL and every sample member, in this folder."""
    passwords: dict[str, str] = defaultdict(lambda: "password")
    local_staff.write(folder, folder / "keys", passwords, now=NOW)
    write_crls(folder / "keys", folder / "crls", NOW)
    return Staff(folder=folder, keys=folder / "keys")


@contextmanager
def open_pool(url: str) -> Iterator[Pool]:
    """Yield the desk's database, the members' roles in it."""
    with db.open_pool(url, name="test", max_size=4) as opened:
        with transaction(opened, clock=lambda: NOW) as tx:
            for member in local_staff.MEMBERS:
                if member.roles:
                    staff.assign(tx, member.id, member.name, member.roles, actor="test")
        yield opened


@contextmanager
def open_world(pool: Pool, members: Staff, crl_file: Path, sockets: Path) -> Iterator[World]:
    """Yield the desk, in this process; it operates itself and whom the test puts at SERVICE.sock in this folder."""
    issuer = x509.load_pem_x509_certificate((members.folder / "ca.pem").read_bytes())
    deps = Deps(
        settings=_settings(members.folder),
        pool=pool,
        trust=Trust(issuer=issuer, crl_file=crl_file),
        operators=Operators(
            addresses={
                service: f"unix:{sockets / service}.sock" for service in ("desk", "mailing", "issuance", "identity")
            },
            key=signing_key("desk"),
            clock=lambda: NOW,
        ),
        clock=lambda: NOW,
    )
    publication = Publication()
    with operating("desk", pool, sockets / "desk.sock", applier=consumer(publication)):
        yield World(pool=pool, app=create_app(deps), staff=members, sockets=sockets, publication=publication)


def _settings(folder: Path) -> Settings:
    nowhere = folder / "nowhere"
    return Settings(
        service="desk",
        database_url="",
        migrate_database_url=None,
        environment="local",
        log_level="INFO",
        web=WebSettings(bind="", threads=1, tls=None),
        admin=("", 0),
        identity_jwks_file=nowhere,
        fingerprint_key_file=nowhere,
        audit_key_file=nowhere,
        kafka=KafkaSettings(
            bootstrap_servers="",
            security_protocol="",
            username=None,
            password=None,
            ca_file=None,
            certificate_file=None,
            key_file=None,
            session_timeout_ms=0,
        ),
        url=URL,
        application_jwks_file=nowhere,
        payment_jwks_file=nowhere,
        feed_jwks_file=nowhere,
        staff_ca_file=nowhere,
        staff_crl_file=nowhere,
    )
