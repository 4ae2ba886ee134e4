"""The public API as answers by heart: what the portal asks is written down, what it gets is what the test says."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import flask
from cryptography.fernet import Fernet, MultiFernet
from flask.testing import FlaskClient

from portal.app import create_app
from portal.gateway import API
from portal.session import COOKIE
from portal.settings import Settings
from portal.web import Deps
from shared.settings import WebSettings
from shared.web.https_client import APIProblem, APIUnavailable, Reply

PORTAL: Final = "https://portal.ecert.localhost:8443"
RENEWAL: Final = "3f1f1d0e-6a0b-4a39-9a3b-0e5f4c2f7a10"
ITEM: Final = "7c1f1d0e-6a0b-4a39-9a3b-0e5f4c2f7a11"
HOST: Final = "www.harbourlights.example.hk"
FOREVER: Final = 4_000_000_000
NEW_PINS: Final = {"new_pins_left": 3, "lost_from": "2026-11-30T01:00:00+00:00"}
TICKET: Final = "Draft-Ticket"


@dataclass
class Asked:
    """One request of the portal."""

    method: str
    path: str
    token: str | None
    body: Any
    key: str | None
    ticket: str | None


# Asked of every signed-in page and sign-out; nothing to write down unless a test says so.
_SESSION_PATHS: Final = ("/identity/v1/session", "/identity/v1/session-ends")


@dataclass
class StubAPI(API):
    """`answers` are by method and path; an int is a status, a str its problem's slug."""

    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def _send(
        self, method: str, path: str, body: Any, *, token: str | None, key: str | None, headers: Mapping[str, str]
    ) -> Reply:
        if path in _SESSION_PATHS and (method, path) not in self.answers:
            return Reply(status=204, body=b"")
        self.asked.append(Asked(method, path, token, body, key, headers.get(TICKET)))
        answer = self.answers.get((method, path), (404, {"type": "urn:ecert:problem:not-found"}))
        if answer is None:
            raise APIUnavailable(path)
        if isinstance(answer, tuple):
            raise APIProblem(answer[0], answer[1])
        given = {TICKET: "the-ticket"} if path.endswith("/document") else {}
        raw_answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Reply(status=200, body=raw_answer, headers=given)


KEY: Final = Fernet.generate_key()


def settings() -> Settings:
    """Return a portal's settings."""
    return Settings(
        web=WebSettings(bind="127.0.0.1:0", threads=2, tls=None),
        admin=("127.0.0.1", 0),
        log_level="INFO",
        environment="local",
        portal_url=PORTAL,
        api_url="https://api.ecert.localhost:8443",
        sign_in_url="https://signin.ecert.localhost:8443",
        token_sign_in_url="https://signin-token.ecert.localhost:8443",
        gateway_address=("127.0.0.1", 1),
        gateway_ca_file=Path("/nowhere"),
        session_keys=MultiFernet([Fernet(KEY)]),
        ca_name="Hongkong Post e-Cert",
        operator_name="Certizen Limited",
    )


@cache
def _portal() -> flask.Flask:
    """Return the app, made once: its templates are compiled when they are first shown."""
    return create_app(Deps(settings=settings(), api=StubAPI()))


def portal(api: StubAPI) -> flask.Flask:
    """Return the portal on a stub."""
    app = _portal()
    app.extensions["portal"] = Deps(settings=settings(), api=api)
    return app


def browser(app: flask.Flask, **held: Any) -> FlaskClient:
    """Return a browser; with what its session holds."""
    client = app.test_client()
    if held:
        session = {"pending": None, "csrf": "the-form-token", **held}
        sealed = Fernet(KEY).encrypt(json.dumps(session).encode()).decode()
        client.set_cookie(COOKIE, sealed, domain="portal.ecert.localhost", secure=True, httponly=True)
    return client


def signed_in(app: flask.Flask, **held: Any) -> FlaskClient:
    """Return a browser of CHAN Mei Ling."""
    who = {"token": "access", "ends": FOREVER, "name": "CHAN Mei Ling", "organisation": "Harbour Lights"}
    return browser(app, **who | held)


def held_by(client: FlaskClient) -> dict[str, Any]:
    """Return what the session's cookie holds."""
    cookie = client.get_cookie(COOKIE, domain="portal.ecert.localhost")
    assert cookie is not None
    held: dict[str, Any] = json.loads(Fernet(KEY).decrypt(cookie.value.encode()))
    return held


def problem(status: int, slug: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Return a problem's answer."""
    return status, {"type": f"urn:ecert:problem:{slug}", "status": status, **more}


def subscription(**changed: Any) -> dict[str, Any]:
    """Return a certificate that can be renewed."""
    return {
        "srn": "0002310001",
        "product": "standard",
        "server_names": ["www.harbourlights.example.hk"],
        "additional_servers": 0,
        "serial": "0a1b",
        "key_sha256": "01" * 32,
        "not_after": "2027-01-06T15:59:59+00:00",
        "paid_from": "2026-01-07",
        "paid_until": "2027-01-06",
        "opens_on": "2026-10-08",
        "renew_by": "2026-12-06",
        "latest_safe_start": "2026-12-09",
        "slack_days": 12,
        "late": False,
        "reason": None,
        "advice": None,
        "reissue_reason": None,
        "renewal_id": None,
        **changed,
    }


def quote(base_minor: int, kind: str, number: int, unit_minor: int) -> list[dict[str, Any]]:
    """Return the lines of a quote: the base, and so many more of a kind."""
    lines = [("base", 1, base_minor), (kind, number, unit_minor)]
    return [{"kind": k, "number": n, "unit_minor": unit, "amount_minor": n * unit} for k, n, unit in lines]


def renewal(**changed: Any) -> dict[str, Any]:
    """Return a renewal of one item."""
    return {
        "id": RENEWAL,
        "kind": "renewal",
        "reference": "R-7KQ2-M8XD",
        "state": "draft",
        "language": "en",
        "amount_minor": 250_000,
        "currency": "HKD",
        "created_at": "2026-11-23T01:00:00+00:00",
        "submitted_at": None,
        "submit_before": "2026-11-24T01:00:00+00:00",
        "deadline": None,
        "latest_safe_start": "2026-12-09",
        "slack_days": 12,
        "ending": None,
        "document_sha256": "d0" * 32,
        "items": [
            {
                "id": ITEM,
                "reference": "R-7KQ2-M8XD-1",
                "srn": "0002310001",
                "product": "standard",
                "server_names": ["www.harbourlights.example.hk"],
                "additional_servers": 0,
                "amount_minor": 250_000,
                "quote": [{"kind": "base", "number": 1, "unit_minor": 250_000, "amount_minor": 250_000}],
                "paid_from": "2027-01-07",
                "paid_until": "2028-01-06",
                "state": "pending",
                "serial": None,
            }
        ],
        "refunds": [],
        "timeline": [{"time": "2026-11-23T01:00:00+00:00", "event": "submitted", "item_id": None, "detail": None}],
        **changed,
    }


def order(**changed: Any) -> dict[str, Any]:
    """Return an order that waits for its CSR."""
    return {
        "item_id": ITEM,
        "reference": "R-7KQ2-M8XD-1",
        "srn": "0002310001",
        "product": "standard",
        "server_names": ["www.harbourlights.example.hk"],
        "state": "awaiting-csr",
        "reissue": False,
        "refusal": None,
        "obstacles": [],
        "pins": [{"server_name": "www.harbourlights.example.hk", "state": "sealed", "tries_left": 5, **NEW_PINS}],
        "certificate": None,
        **changed,
    }


def domain(**changed: Any) -> dict[str, Any]:
    """Return a domain whose control is not proved."""
    name = changed.get("domain", "www.harbourlights.example.hk")
    value = "mfrggzdfmztwq2lknnwg23tpobyxe43u"
    return {
        "domain": name,
        "server_names": [name],
        "parents": [],
        "state": "open",
        "value_until": "2126-12-23T01:00:00+00:00",
        "instructions": {
            "record_name": f"_validation.{name}",
            "txt_value": value,
            "cname_target": f"{value}.dcv.ecert.example.hk",
            "file_url": f"http://{name}/.well-known/pki-validation/ecert.txt",
            "file_content": value,
        },
        "proved_at": None,
        "proved_by": None,
        "reusable_until": None,
        "checked_at": None,
        "reason": None,
        "quorum": None,
        "seen": [],
        "caa": [],
        "issuer_domain": "hongkongpost.gov.hk",
        **changed,
    }


def proved(**changed: Any) -> dict[str, Any]:
    """Return a domain whose control is proved."""
    made = domain(**changed)
    return {
        **made,
        "state": "proved",
        "proved_at": "2026-11-23T02:00:00+00:00",
        "proved_by": made["domain"],
        "reusable_until": "2027-06-09T02:00:00+00:00",
        "checked_at": "2026-11-23T02:00:00+00:00",
        "quorum": "5/5",
        **changed,
    }


def checked(**changed: Any) -> dict[str, Any]:
    """Return what issuance says of a good CSR."""
    return {
        "refusal": None,
        "reason": None,
        "title": None,
        "detail": None,
        "key_kind": "rsa-2048",
        "csr_sha256": "c5" * 32,
        "spki_sha256": "5b" * 32,
        "subject": "CN=www.harbourlights.example.hk",
        "signature_algorithm": "rsa-pkcs1v15-sha256",
        "names": ["www.harbourlights.example.hk"],
        "certificate_names": ["www.harbourlights.example.hk"],
        "differences": [],
        **changed,
    }


ME: Final = {
    "subscriber": {"id": "harbour-lights", "name": "Harbour Lights"},
    "authorised_representative": {
        "id": "chan",
        "name": "CHAN Mei Ling",
        "email": "meiling.chan@harbourlights.example.hk",
        "address": ["Flat B", "Central"],
    },
    "certificate_sha256": "00",
}
TERMS: Final[dict[str, Any]] = {
    "version": "2026-11-25",
    "ruling_language": "en",
    "texts": {"en": "Terms\n\n1. Keep the key.", "zh-Hant": "條款\n\n1. 保密。", "zh-Hans": "条款\n\n1. 保密。"},
}
PRICES: Final = [
    {"product": "standard", "base_minor": 250_000, "additional_minor": 0, "currency": "HKD"},
    {"product": "wildcard", "base_minor": 826_500, "additional_minor": 47_500, "currency": "HKD"},
    {"product": "multi-domain", "base_minor": 250_000, "additional_minor": 125_000, "currency": "HKD"},
]
DOCUMENT: Final[dict[str, Any]] = {
    "purpose": "hk.ecert.renewal-application.v1",
    "reference": "R-7KQ2-M8XD",
    "subscriber": {"id": "harbour-lights", "name": "Harbour Lights"},
    "authorised_representative": {"id": "chan", "name": "CHAN Mei Ling"},
    "fee": {"amount_minor": 250_000, "currency": "HKD", "price_version": "2020-01-01"},
    "declarations": ["The information in this application is correct and complete."],
    "terms": {"version": TERMS["version"], "sha256": hashlib.sha256(json.dumps(TERMS).encode()).hexdigest()},
}
CERTIFICATE: Final = {
    "serial": "0a1b2c",
    "not_before": "2026-11-23T00:00:00+00:00",
    "not_after": "2027-06-10T15:59:59+00:00",
    "accepted_at": None,
    "revoked_at": None,
    "revocation_reason": None,
    "listed_at": None,
}


def report(**faults: str) -> dict[str, Any]:
    """Return what identity found about an e-Cert, with these faults."""
    checks = ("validity", "kind", "key", "issuer", "revocation", "registration")
    return {
        "good": not faults,
        "holder": "CHAN Mei Ling",
        "organisation": "Harbour Lights Trading Limited",
        "issuer": "Hongkong Post e-Cert CA 2 - 17",
        "mutual_recognition": False,
        "serial": "0a1b2c",
        "not_before": "2026-09-24T16:00:00+00:00",
        "not_after": "2028-09-24T15:59:59+00:00",
        "findings": [{"check": check, "made": True, "fault": faults.get(check)} for check in checks],
    }


def full_api() -> StubAPI:
    """Return an API that knows one subscription and one renewal."""
    base = f"/application/v1/renewals/{RENEWAL}"
    return StubAPI(
        answers={
            ("GET", "/application/v1/terms"): TERMS,
            ("GET", "/application/v1/terms/2026-11-25"): TERMS,
            ("GET", "/application/v1/prices"): PRICES,
            ("GET", "/application/v1/subscriptions"): [subscription()],
            ("GET", "/application/v1/renewals"): [renewal()],
            ("POST", "/application/v1/renewals"): renewal(),
            ("GET", base): renewal(),
            ("GET", base + "/document"): DOCUMENT,
            ("POST", base + "/submission"): renewal(state="awaiting-payment"),
            ("POST", base + "/cancellation"): renewal(state="cancelled"),
            ("GET", "/identity/v1/me"): ME,
            ("POST", "/identity/v1/attestations"): {"attestation": "attested"},
            ("POST", "/identity/v1/certificate-test-results"): report(),
            ("POST", "/identity/v1/challenge-tests"): report(),
            ("POST", "/identity/v1/challenges"): {"challenge_id": ITEM, "document": "sign this"},
            ("POST", "/identity/v1/codes"): {"access_token": "fresh", "expires_in": 900},
            ("GET", f"/issuance/v1/renewals/{RENEWAL}/orders"): [order()],
            ("GET", f"/issuance/v1/domains?server_name={HOST}"): [domain()],
            ("GET", "/issuance/v1/domains?server_name=%2A.harbourlights.example.hk"): [],
            ("POST", "/issuance/v1/domains"): [domain()],
            ("POST", f"/issuance/v1/domains/{HOST}/checks"): domain(state="checking"),
            ("POST", "/issuance/v1/csr-checks"): checked(),
            ("POST", f"/issuance/v1/orders/{ITEM}/csr"): order(state="csr-received"),
            ("POST", f"/issuance/v1/orders/{ITEM}/pins"): order(),
            ("GET", f"/issuance/v1/orders/{ITEM}/certificate/chain"): b"-----BEGIN CERTIFICATE-----\n",
            ("POST", f"/issuance/v1/orders/{ITEM}/acceptance"): CERTIFICATE,
            ("POST", f"/issuance/v1/orders/{ITEM}/revocation"): CERTIFICATE,
            ("GET", f"/payment/v1/payments/{RENEWAL}"): {
                "state": "open",
                "pay_before": "2026-12-07T01:00:00+00:00",
                "amount_minor": 250_000,
            },
            ("GET", f"/payment/v1/payments/{RENEWAL}/receipt"): {
                "kind": "renewal",
                "reference": "R-7KQ2-M8XD",
                "payer_name": "Harbour Lights",
                "amount_minor": 250_000,
                "currency": "HKD",
                "captured_at": "2026-11-23T02:00:00+00:00",
                "provider_reference": "tr_1",
            },
            ("POST", "/payment/v1/checkouts"): {"checkout_url": "https://pay.example/checkout/1"},
        }
    )
