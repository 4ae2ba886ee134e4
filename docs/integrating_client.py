"""Example client of an integrator: renews one certificate over HTTPS, with `requests` and `cryptography` only.

It is written from docs/integrating.md and the services' OpenAPI documents, and our tests run it against a whole system.
"""

import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

# Statuses and problem types after which a retry may succeed.
LATER = (429, 502, 503, 504)
RETRIED = ("idempotency-key-in-use", "payment-not-ready", "pin-not-ready", "order-not-found", "certificate-not-found")


def der(tag: int, *parts: bytes) -> bytes:
    """Return one DER element."""
    body = b"".join(parts)
    size = b"" if len(body) < 128 else len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size) if size else len(body)]) + size + body


def oid(text: str) -> bytes:
    """Return an OBJECT IDENTIFIER in DER."""
    first, second, *rest = map(int, text.split("."))
    body = bytes([first * 40 + second])
    for arc in rest:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.insert(0, arc & 0x7F | 0x80)
        body += bytes(septets)
    return der(0x06, body)


def cms(document: bytes, certificate: x509.Certificate, key: Any, now: datetime) -> bytes:
    """Return detached CMS SignedData, CAdES B-B, as section "The signature, byte by byte" of the guide has it."""
    encoded = certificate.public_bytes(serialization.Encoding.DER)
    sha256 = der(0x30, oid("2.16.840.1.101.3.4.2.1"))

    def attribute(kind: str, value: bytes) -> bytes:
        return der(0x30, oid(kind), der(0x31, value))

    attributes = b"".join(
        sorted(
            [
                attribute("1.2.840.113549.1.9.3", oid("1.2.840.113549.1.7.1")),
                attribute("1.2.840.113549.1.9.4", der(0x04, hashlib.sha256(document).digest())),
                attribute("1.2.840.113549.1.9.5", der(0x17, now.strftime("%y%m%d%H%M%SZ").encode())),
                attribute(
                    "1.2.840.113549.1.9.16.2.47",
                    der(0x30, der(0x30, der(0x30, der(0x04, hashlib.sha256(encoded).digest())))),
                ),
            ]
        )
    )
    signed = der(0x31, attributes)
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = der(0x30, oid("1.2.840.113549.1.1.11"), der(0x05))
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        algorithm = der(0x30, oid("1.2.840.10045.4.3.2"))
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    serial = certificate.serial_number.to_bytes(certificate.serial_number.bit_length() // 8 + 1, "big")
    signer = der(
        0x30,
        der(0x02, b"\1"),
        der(0x30, certificate.issuer.public_bytes(), der(0x02, serial)),
        sha256,
        der(0xA0, attributes),
        algorithm,
        der(0x04, signature),
    )
    data = der(0x30, oid("1.2.840.113549.1.7.1"))
    content = der(0x30, der(0x02, b"\1"), der(0x31, sha256), data, der(0xA0, encoded), der(0x31, signer))
    return der(0x30, oid("1.2.840.113549.1.7.2"), der(0xA0, content))


@dataclass
class Client:
    """An Authorised Representative. `api` and `sign_in` are the two hosts, such as https://api.….hk."""

    api: str
    sign_in: str
    certificate_file: Path
    key_file: Path
    ca_file: Path
    patience: float = 60.0
    token: str = ""
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        """Read the e-Cert."""
        self.certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        self.key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)

    def call(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a request until its answer is not "retry later", always with one Idempotency-Key."""
        sent = {"Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        shown = (str(self.certificate_file), str(self.key_file)) if url.startswith(self.sign_in) else None
        until = time.monotonic() + self.patience
        while True:
            answer = self.session.request(
                method, url, json=body, headers=sent, cert=shown, verify=str(self.ca_file), timeout=35
            )
            if answer.ok:
                return answer
            problem = answer.json()
            slug = problem["type"].removeprefix("urn:ecert:problem:")
            if not (slug in RETRIED or answer.status_code in LATER) or time.monotonic() > until:
                raise RuntimeError(f"{method} {url}: {answer.status_code} {slug}: {problem}")
            time.sleep(float(answer.headers.get("Retry-After", 0.25)))

    def sign_in_by_certificate(self) -> None:
        """Sign in with the client certificate of the TLS connection."""
        self.token = self.call("POST", f"{self.sign_in}/identity/v1/tokens").json()["access_token"]

    def sign_in_by_challenge(self) -> None:
        """Sign in with a signature over a challenge of identity's."""
        asked = self.call("POST", f"{self.api}/identity/v1/challenges", {}).json()
        body = {"challenge_id": asked["challenge_id"], "signature": self.signature(asked["document"].encode())}
        self.token = self.call("POST", f"{self.api}/identity/v1/challenge-tokens", body).json()["access_token"]

    def signature(self, document: bytes) -> str:
        """Sign bytes. Returns the CMS in Base64."""
        return base64.b64encode(cms(document, self.certificate, self.key, datetime.now(UTC))).decode()

    def apply(self, srn: str) -> str:
        """Draft, sign, attest and submit. Returns the renewal's id."""
        renewals = f"{self.api}/application/v1/renewals"
        draft = self.call("POST", renewals, {"items": [{"srn": srn}], "language": "en"}).json()
        document = self.call("GET", f"{renewals}/{draft['id']}/document")
        body = {
            "renewal_id": draft["id"],
            "document": base64.b64encode(document.content).decode(),
            "signature": self.signature(document.content),
        }
        ticket = {"Draft-Ticket": document.headers["Draft-Ticket"]}
        attested = self.call("POST", f"{self.api}/identity/v1/attestations", body, ticket).json()
        submission = {"attestation": attested["attestation"]}
        self.call("POST", f"{renewals}/{draft['id']}/submission", submission)
        return str(draft["id"])

    def checkout(self, renewal_id: str) -> str:
        """Authenticate the payer again and open the checkout. Returns the address of the provider's page."""
        authorisations = f"{self.sign_in}/identity/v1/checkout-authorisations"
        authorised = self.call("POST", authorisations, {"renewal_id": renewal_id}).json()
        body = {"renewal_id": renewal_id, "authorisation": authorised["authorisation"]}
        return str(self.call("POST", f"{self.api}/payment/v1/checkouts", body).json()["checkout_url"])

    def prove(self, server_names: Sequence[str], publish: Callable[[str, str], None]) -> None:
        """Prove control of the domains. `publish` puts a TXT record (name, text) into the DNS."""
        domains = f"{self.api}/issuance/v1/domains"
        for domain in self.call("POST", domains, {"server_names": server_names}).json():
            if domain["state"] != "proved":
                publish(domain["instructions"]["record_name"], domain["instructions"]["txt_value"])
                self.call("POST", f"{domains}/{domain['domain']}/checks")
        query = urlencode([("server_name", name) for name in server_names])
        until = time.monotonic() + self.patience
        while any(domain["state"] != "proved" for domain in self.call("GET", f"{domains}?{query}").json()):
            if time.monotonic() > until:
                raise RuntimeError("control of the domains is not proved")
            time.sleep(2)

    def fulfil(
        self, renewal_id: str, publish: Callable[[str, str], None], pin_of: Callable[[str, str], str]
    ) -> dict[str, tuple[str, bytes]]:
        """Prove the domains, make a key and a CSR for each order and submit it with its PINs.

        Returns key and certificate chain by SRN, in PEM.
        """
        orders = self.call("GET", f"{self.api}/issuance/v1/renewals/{renewal_id}/orders").json()
        self.prove([name for order in orders for name in order["server_names"]], publish)
        return {order["srn"]: self.certify(order, pin_of) for order in orders}

    def certify(self, order: Mapping[str, Any], pin_of: Callable[[str, str], str]) -> tuple[str, bytes]:
        """Submit one CSR, and wait for the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in order["server_names"]])
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, False)
        csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        body = {
            "reference": order["reference"],
            "pins": {name: pin_of(order["reference"], name) for name in order["server_names"]},
            "csr": csr,
        }
        path = f"{self.api}/issuance/v1/orders/{order['item_id']}"
        self.call("POST", f"{path}/csr", body)
        chain: bytes = self.call("GET", f"{path}/certificate").content
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem.decode(), chain
