"""A whole renewal as issuance sees it: proofs by identity and payment, events, ARs, PINs off the letters."""

import base64
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import flask
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs7

from services.issuance import (
    api,
    certificate_issuance,
    domain_checks,
    domain_control,
    domain_store,
    handlers,
    pin_orders,
    pin_reissue,
    work,
)
from services.issuance.ca.signer import throwaway_like
from services.issuance.ca.weak_keys import NoList
from services.issuance.csr_intake import SubmitCSR, accept_csr
from services.issuance.dcv import methods
from services.issuance.domain_checks import CheckDeps
from services.issuance.issuer import Issuer
from services.issuance.key_policy import KeyPolicy
from services.issuance.pin_orders import OrderPINs, PINLimits
from services.issuance.pin_reissue import VoidReason
from services.issuance.pins.pins import Pepper, PINVerifier
from services.issuance.publication import Publication
from services.issuance.signing_validation import IssuanceDeps
from services.issuance.work import PINMaker
from shared.db import Pool
from shared.events.application import CancellationRequested, CSRRequested
from shared.messaging.applier import Applier
from shared.pki.names import base_name
from shared.pki.observations import Kind, Question
from shared.runtime.service import applier
from shared.security.proofs import ProofKeys
from shared.security.tokens import TokenKind, sign
from shared.validation.parsing_pool import INLINE, Parser
from shared.vocabulary import ARId, ItemId, Language, Product, RenewalId, SubscriberId
from shared.web.app import create_app
from shared.web.auth import Caller
from tests.integration.services.issuance.zone import RULES, Zone
from tests.support.builders import AR, FINGERPRINTS, key_set, receipt, signing_key
from tests.support.transparency import running_logs
from tests.support.world import BaseWorld
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key, rsa_key
from tests.unit.services.issuance.pki import ADDRESSES, NOW, ca_name, issuing_ca

Names = Sequence[str]
PIN_LIMITS = PINLimits(new_pins=3, post=timedelta(days=7))


def print_certificate() -> x509.Certificate:
    """Return the print process's certificate."""
    key = rsa_key(3072, 3)
    return (
        x509.CertificateBuilder()
        .subject_name(ca_name("PIN print"))
        .issuer_name(ca_name("PIN print"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of the document."""

    item_id: ItemId
    reference: str
    product: Product
    names: tuple[str, ...]

    def in_document(self, position: int) -> dict[str, Any]:
        """Return the item as the signed document lists it."""
        return {
            "item_id": str(self.item_id),
            "reference": self.reference,
            "srn": f"{position:010}",
            "product": str(self.product),
            "server_names": list(self.names),
            "additional_servers": 0,
            "current_serial": "0a",
            "amount_minor": 250000,
        }


def items(*names: Names) -> tuple[Item, ...]:
    """Return items for these server names; the product follows from them."""
    return tuple(
        Item(
            item_id=ItemId(uuid.uuid4()),
            reference=f"I-{uuid.uuid4().hex[:10].upper()}",
            product=Product.WILDCARD
            if n[0].startswith("*")
            else Product.MULTI_DOMAIN
            if len(n) > 1
            else Product.STANDARD,
            names=tuple(n),
        )
        for n in names
    )


@dataclass(kw_only=True)
class Renewal:
    """A paid and signed renewal; each part can be bent before the event is made."""

    items: tuple[Item, ...]
    renewal_id: RenewalId = field(default_factory=lambda: RenewalId(uuid.uuid4()))
    subscriber_id: str = "SUB-1"
    subscriber_name: str = "例子有限公司 Example Limited"
    ar_id: str = "AR-1"
    paid_until: str | None = None
    reissue: bool = False
    document: dict[str, Any] = field(init=False)
    attestation: dict[str, Any] = field(default_factory=dict)
    receipt: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reissue:
            self.paid_until = self.paid_until or "2027-06-30"
        self.document = {
            "purpose": f"hk.ecert.{'reissue' if self.reissue else 'renewal'}-application.v1",
            "renewal_id": str(self.renewal_id),
            "reference": f"R-{self.renewal_id.hex[:10]}",
            "nonce": "n",
            "language": "en",
            "created_at": "2026-11-23T00:00:00Z",
            "subscriber": {"id": self.subscriber_id, "name": self.subscriber_name},
            "authorised_representative": {"id": self.ar_id, "name": "Chan Tai Man"},
            "items": [item.in_document(i) | self._period for i, item in enumerate(self.items, 1)],
            "fee": {"amount_minor": 0 if self.reissue else 250000 * len(self.items), "currency": "HKD"},
            "declarations": [],
            "terms": {"version": "1", "sha256": "0"},
        }

    @property
    def _period(self) -> dict[str, Any]:
        period = {} if self.paid_until is None else {"paid_until": self.paid_until}
        return period | ({"amount_minor": 0} if self.reissue else {})

    @property
    def text(self) -> str:
        """The document as signed."""
        return json.dumps(self.document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @property
    def ar(self) -> AR:
        """The AR who signed, as identity knows them."""
        return AR(id=ARId(self.ar_id), subscriber_id=SubscriberId(self.subscriber_id), certificate_sha256="c" * 64)

    @property
    def caller(self) -> Caller:
        """The AR who signed."""
        return Caller(
            ar_id=ARId(self.ar_id), subscriber_id=SubscriberId(self.subscriber_id), certificate_sha256="c" * 64
        )


class World(BaseWorld):
    """issuance, with the keys of the services whose proofs it verifies."""

    def __init__(self, pool: Pool, *, allow_key_reuse: bool = False) -> None:
        super().__init__(pool=pool, now=NOW)
        self.identity = signing_key("identity")
        self.payment = signing_key("payment")
        ca, signer = issuing_ca()
        self.keys = ProofKeys(
            identity=key_set("identity"), application=key_set("application"), payment=key_set("payment")
        )
        self.pepper = Pepper(b"p" * 32)
        self.maker = PINMaker(pepper=self.pepper, print_certificate=print_certificate())
        self.policy = KeyPolicy(own=sha256(signer.spki).digest(), allow_reuse=allow_key_reuse, weak_keys=NoList())
        self.verifier = PINVerifier(self.pepper)
        self.zone = Zone()
        self.transparency = running_logs()
        self.transparency.sound()
        self.transparency.now = self.clock
        self.logs = self.transparency.client()
        self.issuer = Issuer(
            ca=ca,
            signer=signer,
            throwaway=throwaway_like(signer),
            addresses=ADDRESSES,
            site_prefix=0x11,
            random=lambda count: uuid.uuid4().bytes[:count],
        )

    def applier(self) -> Applier:
        """Return issuance's applier."""
        return applier("issuance", handlers.subscriptions(keys=self.keys), clock=self.clock)

    def attest(self, renewal: Renewal, signer: str = "identity") -> str:
        """Return identity's attestation, or one that somebody else has signed."""
        subscriber = renewal.document["subscriber"] | {"country": "HK", "locality": "Hong Kong"}
        contact = {"email": "ar@example.hk", "address": ["1 Queen's Road Central", "Hong Kong"]}
        claims = {"subscriber": subscriber, "ar": renewal.document["authorised_representative"] | contact}
        claims |= renewal.attestation
        return renewal.ar.attestation(renewal.renewal_id, renewal.text.encode(), self.now, key=signer, **claims)

    def entitlement(self, renewal: Renewal, signer: str = "application", **claims: Any) -> str:
        """Return application's entitlement, or one that somebody else has signed."""
        bound = {"sub": str(renewal.renewal_id), "document_sha256": sha256(renewal.text.encode()).hexdigest()}
        key = signing_key(signer)
        return sign(bound | claims, kind=TokenKind.ENTITLEMENT, key=key, now=self.now, issuer="application")

    def receipt(self, renewal: Renewal, signer: str = "payment") -> str:
        """Return payment's receipt, or one that somebody else has signed."""
        claims = renewal.document["fee"] | renewal.receipt
        amount_minor = claims.pop("amount_minor")
        return receipt(renewal.renewal_id, renewal.text.encode(), amount_minor, self.now, key=signer, **claims)

    def request(self, renewal: Renewal) -> CSRRequested:
        """Return application's event."""
        return CSRRequested(
            renewal_id=renewal.renewal_id,
            language=Language.ENGLISH,
            document=renewal.text,
            attestation=self.attest(renewal),
            receipt=self.entitlement(renewal) if renewal.reissue else self.receipt(renewal),
        )

    def opened(self, *names: Names, proved: bool = True, **fields: Any) -> Renewal:
        """Return a renewal whose orders are open, whose PINs are sealed and whose domains are proved."""
        renewal = Renewal(items=items(*names), **fields)
        with self.begin() as tx:
            handlers.on_csr_requested(tx, self.request(renewal), keys=self.keys)
        while work.seal_next_pin(self.pool, self.maker, clock=self.clock):
            pass
        if proved:
            self.prove(renewal)
        return renewal

    def prove(self, renewal: Renewal) -> None:
        """Put the random value of each domain where the zone shows it, and have it looked at."""
        domains = sorted({base_name(name) or name for item in renewal.items for name in item.names})
        subscriber = SubscriberId(renewal.subscriber_id)
        with self.begin() as tx:
            domain_control.begin(tx, subscriber, domains)
            controls = domain_store.find_controls(tx.conn, subscriber, domains)
        for domain, control in controls.items():
            self.zone.records[Question(Kind.TXT, methods.record_name(domain))] = (control.random_value,)
        with self.begin() as tx:
            domain_control.ask_checks(tx, subscriber, domains)
        while self.check():
            pass

    def check(self) -> bool:
        """Return one turn of the checks of domains."""
        deps = CheckDeps(perspectives=self.zone, rules=RULES)
        return domain_checks.check_next(self.pool, deps, clock=self.clock)

    def cancel(self, renewal: Renewal) -> None:
        """Apply application's request to withhold."""
        with self.begin() as tx:
            handlers.on_cancellation_requested(tx, CancellationRequested(renewal_id=renewal.renewal_id))

    def reissue(self, renewal: Renewal, name: str = "www.example.hk", **fields: Any) -> UUID:
        """Void a PIN and make another, as an operator does. Returns the new envelope's id."""
        how = {"reason": VoidReason.LOST, "actor": "operator", "order_name": str(renewal.items[0].item_id)} | fields
        with self.begin() as tx:
            return pin_reissue.reissue_pin(tx, name=name, **how)

    def order_pins(self, renewal: Renewal, *names: str, reason: VoidReason, caller: Caller | None = None) -> None:
        """Order new PINs, as the AR does."""
        command = OrderPINs(item_id=renewal.items[0].item_id, server_names=names, reason=reason)
        with self.begin() as tx:
            pin_orders.order_pins(tx, command, caller or renewal.caller, PIN_LIMITS)

    def seal(self) -> bool:
        """Return one turn of the work that makes PINs."""
        return work.seal_next_pin(self.pool, self.maker, clock=self.clock)

    def letters(self, renewal: Renewal) -> dict[str, str]:
        """Return server name → PIN, as the print process reads it off the sealed events; the newest of each name."""
        with self.pool.connection() as conn:
            rows = conn.execute(
                "SELECT data FROM outbox WHERE topic = 'issuance.pin-envelopes' AND key = %s ORDER BY id",
                (str(renewal.renewal_id),),
            ).fetchall()
        found = {}
        for (data,) in rows:
            sealed = base64.b64decode(json.loads(data)["sealed"])
            letter = json.loads(pkcs7.pkcs7_decrypt_der(sealed, self.maker.print_certificate, rsa_key(3072, 3), []))
            found[letter["server_name"]] = letter["pin"]
        return found

    def submission(self, renewal: Renewal, position: int = 0, **fields: Any) -> SubmitCSR:
        """Return the right submission for one item; any part can be bent."""
        item = renewal.items[position]
        right: dict[str, Any] = {
            "item_id": item.item_id,
            "reference": item.reference,
            "pins": {n: p for n, p in self.letters(renewal).items() if n in item.names},
            "csr": as_pem(csr_der(ec_key(), names=item.names)),
        }
        return SubmitCSR(**(right | fields))

    def submit(self, renewal: Renewal, position: int = 0, **fields: Any) -> Any:
        """Submit a CSR."""
        command = self.submission(renewal, position, **fields)
        return accept_csr(command, renewal.caller, self.begin, verifier=self.verifier, policy=self.policy)

    def deps(self, **fields: Any) -> IssuanceDeps:
        """Return the dependencies of issuing, with these fields of the issuer replaced."""
        return IssuanceDeps(
            issuer=replace(self.issuer, **fields),
            logs=self.logs,
            proof_keys=self.keys,
            key_policy=self.policy,
            domain_rules=RULES,
        )

    def issue(self) -> bool:
        """Return one turn of the issuing work, and a second one once the domains that it waits for are looked at."""
        worked = self.issue_once()
        if self.check():
            while self.check():
                pass
            while self.issue_once():
                pass
        return worked

    def issue_once(self) -> bool:
        """Return one turn of the issuing work."""
        return work.issue_next(self.pool, self.deps(), clock=self.clock)

    def issued(self, *names: Names, **fields: Any) -> Renewal:
        """Return a renewal whose certificates are issued."""
        renewal = self.opened(*names, **fields)
        for position in range(len(renewal.items)):
            self.submit(renewal, position)
            self.issue()
        return renewal

    def app(self, parser: Parser = INLINE, publication_folder: Path | None = None) -> flask.Flask:
        """Return the HTTP app."""
        addresses = self.issuer.addresses
        deps = api.Deps(
            ca=self.issuer.ca,
            pin_verifier=self.verifier,
            pin_limits=PIN_LIMITS,
            key_policy=self.policy,
            parser=parser,
            domain_rules=RULES,
            sign_in_max_age=timedelta(minutes=10),
            publication=Publication.load(
                crl_url=addresses.crl_url, ca_issuers_url=addresses.ca_issuers_url, folder=publication_folder
            ),
        )
        return create_app(
            "issuance",
            blueprints=[api.blp],
            problem_table=api.PROBLEMS,
            pool=self.pool,
            keys=self.keys.identity,
            fingerprints=FINGERPRINTS,
            deps=deps,
            clock=self.clock,
        )

    def client_orders(self, renewal: Renewal) -> Any:
        """Return the orders as the AR sees them over HTTP."""
        url = f"/issuance/v1/renewals/{renewal.renewal_id}/orders"
        return self.app().test_client().get(url, headers=self.headers(renewal)).json

    def headers(self, renewal: Renewal, key: str | None = None) -> dict[str, str]:
        """Return the AR's token, and an Idempotency-Key."""
        token = renewal.ar.access_token(self.now)
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": key or uuid.uuid4().hex}


__all__ = ["Item", "Renewal", "World", "certificate_issuance", "items"]
