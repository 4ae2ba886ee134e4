"""The desk put together for a test: its real database, staff with real certificates, and publishers to hear of."""

import json
import socketserver
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from backoffice.desk import projection
from backoffice.desk.projection import Keys
from shared.db import Pool
from shared.events.application import CSRRequested, RenewalSubmitted
from shared.events.base import Event, Topic
from shared.events.issuance import CSRReceived
from shared.events.mailing import CSRRequestSent, PINEnvelopePosted
from shared.messaging import feed_signature
from shared.messaging.applier import Applier
from shared.messaging.record import Record
from shared.operators import operator_api
from shared.operators.operator_api import Operations
from shared.runtime.service import applier
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet
from shared.vocabulary import Language, RenewalId
from shared.web.idempotency import FingerprintKey
from tests.support.builders import (
    AR,
    NOW,
    Item,
    Publisher,
    captured,
    document,
    issued,
    key_set,
    opened,
    receipt,
    signing_key,
)
from tests.support.servers import serving
from tests.support.world import BaseWorld

URL: Final = "https://desk.ecert.localhost:8443"
CHAN: Final = AR(
    name="CHAN Mei Ling 陳美玲",
    subscriber_name="Harbour Lights Trading Limited 海港燈飾貿易有限公司",
    address=("海港燈飾中心十二樓B室", "88 Des Voeux Road Central", "Hong Kong"),
)


@dataclass
class Publishers(Publisher):
    """Every service's relay at once: numbers each topic's events of a renewal, and signs the feed's."""

    positions: int = 0
    now: datetime = NOW

    def record(self, event: Event, *, sign: str = "feed", **changes: Any) -> Record:
        """Return the event's next record, a second after the one before."""
        self.now += timedelta(seconds=1)
        envelope = self.envelope(event, self.now)
        if event.TOPIC is Topic.ISSUANCE:
            self.positions += 1
            envelope = replace(envelope, position=self.positions)
            envelope = replace(envelope, signature=feed_signature.sign(envelope, signing_key(sign)))
        return self.record_of(replace(envelope, **changes))


@dataclass
class Renewal:
    """One renewal of two certificates, as every service announces it."""

    id: RenewalId = field(default_factory=lambda: RenewalId(uuid.uuid4()))
    reference: str = "R-ABCDEFGHIJ"
    items: tuple[Item, ...] = field(
        default_factory=lambda: (
            Item(reference="E-AAAAAAAAAA", srn="0002310001", server_names=("www.harbourlights.example.hk",)),
            Item(
                reference="E-BBBBBBBBBB",
                srn="0002310002",
                product="multi-domain",
                server_names=("mail.harbourlights.example.hk", "xn--czrs0t.xn--fsqu00a.xn--j6w193g"),
            ),
        )
    )

    @property
    def amount(self) -> int:
        return sum(item.amount_minor for item in self.items)

    def document(self) -> bytes:
        return document(self.id, self.items, CHAN, reference=self.reference)

    def submitted(self) -> RenewalSubmitted:
        return RenewalSubmitted(
            renewal_id=self.id,
            reference=self.reference,
            subscriber_id=CHAN.subscriber_id,
            ar_id=CHAN.id,
            payer_name=CHAN.subscriber_name,
            amount_minor=self.amount,
            currency="HKD",
            items=(),
            document_sha256="00" * 32,
            pay_before=NOW + timedelta(days=7),
        )

    def requested(self, **changes: Any) -> CSRRequested:
        content = self.document()
        event = CSRRequested(
            renewal_id=self.id,
            language=Language.ENGLISH,
            document=content.decode(),
            attestation=CHAN.attestation(self.id, content),
            receipt=receipt(self.id, content, self.amount),
        )
        return replace(event, **changes)

    def opened(self, number: int = 0) -> Event:
        return opened(self.id, _as_row(self.items[number]))

    def csr(self, number: int = 0) -> CSRReceived:
        item_id = self.items[number].id
        return CSRReceived(
            renewal_id=self.id, item_id=item_id, csr_sha256="1" * 64, spki_sha256="2" * 64, key_kind="RSA 2048"
        )

    def issued(self, number: int = 0, **changes: Any) -> Event:
        return issued(self.id, _as_row(self.items[number]), **changes)

    def posted(self, number: int = 0, *, name: int = 0) -> PINEnvelopePosted:
        item = self.items[number]
        return PINEnvelopePosted(
            renewal_id=self.id,
            item_id=item.id,
            envelope_id=uuid.uuid5(item.id, str(name)),
            server_name=item.server_names[name],
            registered_number=f"RA12345678{number}HK",
            posted_on=date(2026, 11, 24),
        )

    def asked(self) -> list[Event]:
        """Return the events up to where its CSRs are awaited."""
        return [
            self.submitted(),
            captured(self.id, self.document(), self.amount),
            self.requested(),
            *(self.opened(number) for number in range(len(self.items))),
            CSRRequestSent(renewal_id=self.id, message_id="<a@example.hk>", sent_at=NOW),
            self.posted(0),
        ]


def _as_row(item: Item) -> dict[str, Any]:
    return {
        "item_id": str(item.id),
        "reference": item.reference,
        "srn": item.srn,
        "product": item.product,
        "server_names": list(item.server_names),
    }


@dataclass
class Staff:
    """The sample members' certificates, and how Envoy would hand them on."""

    folder: Path
    keys: Path

    def header(self, file: str) -> str:
        """Return Envoy's XFCC for this member's certificate."""
        pem = (self.folder / f"{file}.pem").read_text()
        first = pem[: pem.index("-----END") + len("-----END CERTIFICATE-----\n")]
        return f'Cert="{quote(first, safe="")}"'


@contextmanager
def operating(
    service: str, pool: Pool, path: Path, *, applier: Applier | None = None, operations: Operations | None = None
) -> Iterator[None]:
    """Serve a service's operator API at this Unix socket until the block ends."""
    app = operator_api.create_app(
        service,
        pool=pool,
        desk_keys=key_set("desk"),
        fingerprints=FingerprintKey(b"f" * 32),
        applier=applier,
        operations=operations,
        clock=lambda: NOW,
    )
    server = make_server(f"unix://{path}", 0, app, threaded=True)
    with serving(server):
        yield


class _Silent(BaseHTTPRequestHandler):
    """Shows one held event to every reader, and hangs up on every action."""

    def do_GET(self) -> None:
        event = {"id": 1, "key": "key", "topic": "payment.events", "type": None, "proposal": None, "reason": "failed"}
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.close_connection = True

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def falling_silent(path: Path) -> Iterator[None]:
    """Serve held events at this socket, and hang up when an action is requested."""
    with socketserver.UnixStreamServer(str(path), _Silent) as server, serving(server):
        yield


@dataclass(kw_only=True)
class World(BaseWorld):
    """One desk with its staff."""

    app: flask.Flask
    staff: Staff
    sockets: Path
    publication: "Publication"
    publisher: Publishers = field(default_factory=Publishers)

    def client(self, member: str | None = "mok-sze-wan") -> FlaskClient:
        """Return a browser with this member's certificate."""
        client = self.app.test_client()
        client.environ_base["SERVER_NAME"] = "desk.ecert.localhost"
        if member is not None:
            client.environ_base["HTTP_X_FORWARDED_CLIENT_CERT"] = self.staff.header(member)
        return client

    def post(self, member: str, path: str, **form: str) -> TestResponse:
        """Return a form of the desk's own, sent by this member."""
        data = {"once": uuid.uuid4().hex, **form}
        return self.client(member).post(path, data=data, headers={"Origin": URL})

    def record(self, event: Event) -> Record:
        return self.publisher.record(event)

    def applier(self) -> Applier:
        return consumer(self.publication)


@dataclass
class Publication:
    """The public keys of the feed, as they are published at the moment."""

    keys: KeySet = field(default_factory=lambda: key_set("feed"))


def consumer(publication: Publication) -> Applier:
    """Return the desk's applier, with the test's keys."""
    proofs = ProofKeys(identity=key_set("identity"), application=key_set("application"), payment=key_set("payment"))
    keys = Keys(proofs=proofs, feed=lambda: publication.keys)
    return applier("desk", projection.subscriptions(keys), clock=lambda: NOW)
