"""identity on a real database, with one subscriber enrolled, good CRLs and a clock the tests move."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.identity import api, enrolment, work
from services.identity.certificates import Trust
from services.identity.domain import RegisterEvidence
from shared import db
from shared.db import Pool
from shared.pki.crls import issuer_of
from shared.security.tokens import KeySet, SigningKey, thumbprint
from shared.tx import transaction
from shared.validation.parsing_pool import Pool as ParsingPool
from shared.vocabulary import ARId, RenewalId, SubscriberId
from shared.web.app import create_app
from tests.support.builders import AR, FINGERPRINTS, key_set
from tests.support.engines import Database
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import NOW, ORGANISATIONAL, Holder, Leaf, issue, name, world
from tests.unit.services.identity.cms_builder import sign
from tests.unit.services.identity.der_editing import places, replaced

ORGANISATION = "Example Trading Limited"
EVIDENCE = RegisterEvidence(verified_at=NOW - timedelta(days=30), source="Companies Registry", checker="Officer 1")


def e_cert(person: str, organisation: str = ORGANISATION, brn: str = "12345678", **changes: Any) -> Holder:
    """Return an e-Cert (Organisational) of one person, with a key of their own."""
    units = ("0001234567", brn + "0" * 24, "Hongkong Post e-Cert (Organisational)", "Head Office")
    changes.setdefault("key", builders.rsa_key(person))
    return issue(changes.pop("by", world().sub), Leaf(subject=name(person, organisation, *units), **changes))


CHAN = e_cert("CHAN Tai Man")
WONG = e_cert("WONG Ka Ho")
LEE = e_cert("LEE Siu Fong", "Other Company Limited", "87654321")


def year_0() -> Holder:
    """Return a certificate whose dates no clock knows."""
    dated = next(place for place in places(CHAN.der) if CHAN.der[place[0]] == 0x17)
    odd = replaced(CHAN.der, dated, b"\x18\x0f00000101000000Z")
    return Holder(certificate=x509.load_der_x509_certificate(odd), key=CHAN.key)


def ar(ar_id: str, full_name: str, *certificates: Holder) -> dict[str, Any]:
    """Return an AR as an enrolment file names them."""
    return {
        "id": ar_id,
        "name": full_name,
        "name_zh": None,
        "email": f"{ar_id}@example.hk",
        "address": ["1 Example Road", "Hong Kong"],
        "evidence": EVIDENCE,
        "certificates": [certificate.pem for certificate in certificates],
    }


def subscriber(subscriber_id: str, full_name: str, brn: str, *ars: dict[str, Any]) -> dict[str, Any]:
    """Return a subscriber as an enrolment file names them."""
    return {
        "id": subscriber_id,
        "name": full_name,
        "name_zh": None,
        "brn": brn,
        "country": "HK",
        "state_or_province": "Hong Kong",
        "locality": None,
        "evidence": EVIDENCE,
        "authorised_representatives": list(ars),
    }


def spelt(evidence: RegisterEvidence) -> dict[str, str]:
    """Return evidence as a file spells it."""
    return {name: str(value) for name, value in vars(evidence).items()}


def people() -> dict[str, Any]:
    """Return two subscribers with three ARs."""
    return {
        "subscribers": [
            subscriber(
                "example",
                ORGANISATION,
                "12345678",
                ar("chan", "CHAN Tai Man", CHAN),
                ar("wong", "WONG Ka Ho", WONG),
            ),
            subscriber("other", "Other Company Limited", "87654321", ar("lee", "LEE Siu Fong", LEE)),
        ]
    }


TRUST = Trust(
    anchors=(world().root.certificate,),
    intermediates=(world().sub.certificate,),
    mutual_recognition=(world().sibling.certificate,),
    policies=frozenset({ORGANISATIONAL}),
)


@dataclass
class Clock:
    """The time, as the test wants it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity_database(database: Callable[[str], Database]) -> Database:
    return database("identity")


@pytest.fixture
def pool(identity_database: Database) -> Iterator[Pool]:
    with db.open_pool(identity_database.url, name="test", max_size=8) as opened:
        yield opened


def take_crls(pool: Pool, clock: Clock, *ders: bytes) -> None:
    """Accept CRLs as the work process does."""
    with transaction(pool, clock=clock) as tx:
        for der in ders:
            work.accept(tx, der, issuer_of(der, TRUST.issuers))


@pytest.fixture
def enrolled(pool: Pool, clock: Clock) -> None:
    """The people, without a CRL."""
    enrolment.enrol(pool, people(), "test", clock=clock)


@pytest.fixture
def current_crls(pool: Pool, clock: Clock) -> None:
    """A CRL of every CA, listing nobody."""
    take_crls(pool, clock, *world().crls())


SIGNING_KEY = SigningKey(
    key=builders.ec_key("identity's tokens"), kid=thumbprint(builders.ec_key("identity's tokens").public_key())
)
JWKS = {"keys": [SIGNING_KEY.jwk()]}
KEYS = KeySet.parse(JWKS)
REDIRECT_URIS = ("https://portal.example/signed-in", "https://portal.example/other")


@pytest.fixture
def environment(identity_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a real process, its files in a folder."""
    for folder, certificate in (("anchors", world().root), ("intermediates", world().sub)):
        (tmp_path / folder).mkdir()
        holder = Holder(certificate=certificate.certificate, key=certificate.key)
        (tmp_path / folder / "ca.pem").write_text(holder.pem)
    (tmp_path / "signing.key").write_bytes(Holder(certificate=world().root.certificate, key=SIGNING_KEY.key).key_pem)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [SIGNING_KEY.jwk()]}))
    (tmp_path / "enrolment.json").write_text(json.dumps(people(), default=spelt))
    (tmp_path / "successor.json").write_text(json.dumps(ar("ho", "HO Chi Wai"), default=spelt))
    settings = {
        **identity_database.environment,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ENVIRONMENT": "local",
        "BIND": f"unix:{tmp_path}/identity.sock",
        "AUDIT_KEY_FILE": str(tmp_path / "signing.key"),
        "FINGERPRINT_KEY_FILE": str(tmp_path / "signing.key"),
        "IDENTITY_JWKS_FILE": str(tmp_path / "jwks.json"),
        "IDENTITY_SIGNING_KEY_FILE": str(tmp_path / "signing.key"),
        "APPLICATION_JWKS_FILE": str(tmp_path / "jwks.json"),
        "CLIENT_TRUST_DIR": str(tmp_path),
        "CLIENT_CRLS": str(tmp_path),
        "ECERT_ORGANISATIONAL_POLICY_OIDS": "1.3.6.1.4.1.16030.1.1.17.2",
        "PORTAL_REDIRECT_URIS": "https://portal.example/signed-in",
    }
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    return settings


@pytest.fixture(scope="session")
def parsers() -> Iterator[ParsingPool]:
    """The parsing pool, as the web process has it."""
    pool = ParsingPool(["services.identity.reading"])
    yield pool
    pool.close()


@pytest.fixture
def http(pool: Pool, clock: Clock, parsers: ParsingPool) -> FlaskClient:
    """The API; the client certificate's header is what the gateway would set."""
    deps = api.Deps(
        trust=TRUST,
        key=SIGNING_KEY,
        application_keys=key_set("application"),
        jwks=JWKS,
        redirect_uris=REDIRECT_URIS,
        origin="https://portal.example",
        parser=parsers,
    )
    app = create_app(
        "identity",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=KEYS,
        fingerprints=FINGERPRINTS,
        deps=deps,
        clock=clock,
    )
    return app.test_client()


def xfcc(holder: Holder) -> dict[str, str]:
    """Return the header as Envoy writes it."""
    return {"X-Forwarded-Client-Cert": f'Cert="{quote(holder.pem, safe="")}"'}


def sign_in(http: FlaskClient, holder: Holder) -> TestResponse:
    """Sign in with this e-Cert."""
    return http.post("/identity/v1/tokens", headers=xfcc(holder))


def bearer(http: FlaskClient, holder: Holder) -> dict[str, str]:
    """Return the Authorization header of someone who signed in."""
    answer = sign_in(http, holder)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json['access_token']}"}  # type: ignore[index]


@dataclass
class Application:
    """A document as application makes it, for the caller named in it."""

    ar_id: str = "chan"
    subscriber_id: str = "example"
    renewal_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)
    purpose: str = "hk.ecert.renewal-application.v1"
    subscriber_name: str = ORGANISATION
    ar_name: str = "CHAN Tai Man"

    @property
    def document(self) -> bytes:
        content = {
            "authorised_representative": {"id": self.ar_id, "name": self.ar_name},
            "nonce": self.nonce,
            "purpose": self.purpose,
            "renewal_id": self.renewal_id,
            "subscriber": {"id": self.subscriber_id, "name": self.subscriber_name},
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()


def request_body(application: Application, signature: bytes) -> dict[str, str]:
    """Return the body of an attestation request."""
    return {
        "renewal_id": application.renewal_id,
        "document": base64.b64encode(application.document).decode(),
        "signature": base64.b64encode(signature).decode(),
    }


def signed_by(holder: Holder, application: Application, **how: Any) -> bytes:
    """Return a good signature over the application."""
    return sign(holder, document=application.document, **how)


def attest(
    http: FlaskClient,
    holder: Holder,
    body: dict[str, str],
    *,
    key: str | None = None,
    auth: dict[str, str] | None = None,
    ticket: str | None = "",
) -> TestResponse:
    """Ask for an attestation; with application's ticket for the document unless one is given."""
    auth = auth or bearer(http, holder)
    headers = {**auth, "Idempotency-Key": key or uuid.uuid4().hex}
    given = ticket_for(http, auth, body) if ticket == "" else ticket
    if given is not None:
        headers["Draft-Ticket"] = given
    return http.post("/identity/v1/attestations", headers=headers, json=body)


def ticket_for(http: FlaskClient, auth: dict[str, str], body: dict[str, str]) -> str:
    """Return application's ticket for the document as a draft of the signed-in AR, made just now."""
    claims = json.loads(base64.urlsafe_b64decode(auth["Authorization"].split(".")[1] + "=="))
    person = AR(id=ARId(claims["sub"]), subscriber_id=SubscriberId(claims["subscriber_id"]))
    now = http.application.extensions["ecert"].clock()
    return person.ticket(RenewalId(uuid.UUID(body["renewal_id"])), base64.b64decode(body["document"]), now)


def count(pool: Pool, table: str) -> int:
    """Return how many rows a table has."""
    with pool.connection() as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def good(application: Application | None = None, holder: Holder = CHAN) -> tuple[Application, dict[str, str]]:
    """Return an application that its AR has signed, and the request to attest it."""
    application = application or Application()
    return application, request_body(application, signed_by(holder, application))
