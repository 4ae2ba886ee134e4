"""Authorised Representative, step by step as a person would act with a browser and openssl."""

import base64
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from devtools.scenario.gateway_client import API_HOST, SIGN_IN_HOST, Gateway, plain_http, wait_for
from shared.web.https_client import APIProblem, Reply

# The gateway writes header names in lower case.
TICKET: Final = "draft-ticket"
_NOT_YET: Final = ("payment-not-ready", "unavailable", "provider-unavailable")


@dataclass(frozen=True, kw_only=True)
class ECert:
    """The AR's e-Cert (Organisational) as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Order:
    """An item that awaits its CSR."""

    renewal_id: str
    item_id: str
    reference: str
    product: str
    server_names: tuple[str, ...]


@dataclass(kw_only=True)
class AR:
    """A signed-in AR. `folder` is the AR's own computer: keys and CSRs are made there.

    `publish` puts a TXT record (name, text) into the zone of the AR's domains.
    """

    gateway: Gateway
    ecert: ECert
    folder: Path
    publish: Callable[[str, str], None]
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Connect to both public names."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._api = self.gateway.connect(API_HOST)
        self._sign_in = self.gateway.connect(SIGN_IN_HOST, certificate=self.ecert.certificate, key=self.ecert.key)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._sign_in.close()

    def get(self, path: str) -> Reply:
        """Send a GET request with the access token."""
        return self._api.request("GET", path, token=self.token)

    def post(self, path: str, body: Any = None, key: str | None = None, headers: dict[str, str] | None = None) -> Reply:
        """Send a POST request with the access token."""
        return self._api.request("POST", path, body, token=self.token, key=key, headers=headers)

    def sign_in(self) -> None:
        """Present the client certificate, get an access token."""
        self.token = self._sign_in.request("POST", "/identity/v1/tokens").json()["access_token"]

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return the organisation's certificates, each with the reason why it cannot be renewed now, if any."""
        found: list[dict[str, Any]] = self.get("/application/v1/subscriptions").json()
        return found

    def draft(self, srns: Sequence[str], language: str = "en") -> dict[str, Any]:
        """Draft a renewal of these certificates. Returns the quote and the document to sign."""
        body = {"items": [{"srn": srn} for srn in srns], "language": language}
        renewal: dict[str, Any] = self.post("/application/v1/renewals", body).json()
        return renewal

    def prove(self, server_names: Sequence[str]) -> None:
        """Put the random value of each domain into its zone and have it looked at; returns once all are proved."""
        for domain in self._begin_domains(server_names):
            if domain["state"] != "proved":
                self.publish(domain["instructions"]["record_name"], domain["instructions"]["txt_value"])
                self.post(f"/issuance/v1/domains/{domain['domain']}/checks")
        wait_for("proof of control", lambda: self._all_proved(server_names), seconds=60, every=0.05)

    def _begin_domains(self, server_names: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.post("/issuance/v1/domains", {"server_names": list(server_names)}).json()
        return found

    def domains(self, server_names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the domains of these names with their proofs and what was seen."""
        query = urlencode([("server_name", name) for name in server_names])
        found: list[dict[str, Any]] = self.get(f"/issuance/v1/domains?{query}").json()
        return found

    def _all_proved(self, server_names: Sequence[str]) -> bool | None:
        return all(domain["state"] == "proved" for domain in self.domains(server_names)) or None

    def is_delayed(self, order: Order) -> bool:
        """Return whether the order's certificate waits for something."""
        found = self.get(f"/issuance/v1/renewals/{order.renewal_id}/orders").json()
        return any(each["obstacles"] for each in found if each["item_id"] == order.item_id)

    def sign(self, renewal_id: str) -> str:
        """Read the document and sign it with openssl. Returns identity's attestation of the signature."""
        answer = self.get(f"/application/v1/renewals/{renewal_id}/document")
        document, ticket = answer.body, {TICKET: answer.headers[TICKET]}
        signature = self.sign_bytes(document)
        body = {
            "renewal_id": renewal_id,
            "document": base64.b64encode(document).decode(),
            "signature": base64.b64encode(signature).decode(),
        }
        return str(self.post("/identity/v1/attestations", body, headers=ticket).json()["attestation"])

    def sign_bytes(self, document: bytes) -> bytes:
        """Return a detached CAdES signature, as `openssl cms` makes it."""
        command = ["openssl", "cms", "-sign", "-binary", "-cades", "-md", "sha256", "-outform", "DER"]
        return _run([*command, "-signer", str(self.ecert.certificate), "-inkey", str(self.ecert.key)], document)

    def submit(self, renewal_id: str, attestation: str, key: str | None = None) -> None:
        """Submit the signed application."""
        self.post(f"/application/v1/renewals/{renewal_id}/submission", {"attestation": attestation}, key)

    def pay(self, renewal_id: str) -> None:
        """Authenticate the payer again, open the checkout, pay on the provider's page."""
        authorisation = self._sign_in.request(
            "POST", "/identity/v1/checkout-authorisations", {"renewal_id": renewal_id}, token=self.token
        ).json()["authorisation"]
        body = {"renewal_id": renewal_id, "authorisation": authorisation}
        # An authorisation opens one checkout: a repeated request needs the same key.
        key = uuid.uuid4().hex
        # Reading the payment's state costs one read; opening a checkout too early, two commits.
        wait_for("the payment", lambda: self._if_ready(f"/payment/v1/payments/{renewal_id}"))
        checkout = wait_for("the checkout", lambda: self._if_ready("/payment/v1/checkouts", body, key))
        page = checkout["checkout_url"]
        plain_http(page, patience=self.gateway.patience)
        plain_http(page, "POST", patience=self.gateway.patience, decision="pay")

    def _if_ready(
        self, path: str, body: Mapping[str, Any] | None = None, key: str | None = None
    ) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = (self.get(path) if body is None else self.post(path, body, key)).json()
        except APIProblem as problem:
            if problem.slug in _NOT_YET:
                return None
            raise
        return answer

    def renewal(self, renewal_id: str) -> dict[str, Any]:
        """Return the renewal's state."""
        renewal: dict[str, Any] = self.get(f"/application/v1/renewals/{renewal_id}").json()
        return renewal

    def orders(self, renewal_id: str) -> list[Order]:
        """Return the items with an open order."""
        try:
            found = self.get(f"/issuance/v1/renewals/{renewal_id}/orders").json()
        except APIProblem as problem:
            if problem.status == 404:
                return []
            raise
        return [
            Order(
                renewal_id=renewal_id,
                item_id=order["item_id"],
                reference=order["reference"],
                product=order["product"],
                server_names=tuple(order["server_names"]),
            )
            for order in found
        ]

    def make_csr(self, order: Order) -> str:
        """Return a CSR with a new key, made by `openssl req`."""
        key = self.folder / f"{order.reference}.key"
        names = ",".join(f"DNS:{name}" for name in order.server_names)
        _run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)])
        request = ["openssl", "req", "-new", "-key", str(key), "-subj", "/", "-addext", f"subjectAltName={names}"]
        return _run(request).decode()

    def submit_csr(self, order: Order, csr: str, pins: Mapping[str, str], key: str | None = None) -> None:
        """Submit a CSR with its reference number and the PIN of each server name."""
        body = {"reference": order.reference, "pins": dict(pins), "csr": csr}
        self.post(f"/issuance/v1/orders/{order.item_id}/csr", body, key)

    def certificate(self, order: Order) -> Path | None:
        """Download the chain. Returns None while there is no certificate."""
        try:
            chain = self.get(f"/issuance/v1/orders/{order.item_id}/certificate").body
        except APIProblem as problem:
            if problem.status in (404, 409):
                return None
            raise
        path = self.folder / f"{order.reference}.pem"
        path.write_bytes(chain)
        return path

    def accept(self, order: Order) -> None:
        """Accept the certificate's content and its publication."""
        self.post(f"/issuance/v1/orders/{order.item_id}/acceptance")


def _run(command: Sequence[str], given: bytes | None = None) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])}: {done.stderr.decode('utf-8', 'replace')}")
    return done.stdout
