"""One renewal from sign-in to accepted certificates, with the time of each step."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

from devtools.scenario.ar import AR, Order
from devtools.scenario.gateway_client import plain_http, wait_for
from devtools.scenario.postbox import Letter, Postbox

T = TypeVar("T")
SUBJECT: Final = "Submission of Certificate Signing Request (CSR)"


@dataclass(frozen=True)
class Leg:
    """A step and its duration in seconds."""

    name: str
    seconds: float
    detail: str


@dataclass(kw_only=True)
class Journey:
    """A renewal and its steps, in order."""

    ar: AR
    postbox: Postbox
    inbox_url: str
    srns: Sequence[str]
    patience: float = 60.0
    every: float = 0.02
    legs: list[Leg] = field(default_factory=list)
    renewal: dict[str, Any] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    certificates: dict[str, Path] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The renewal's id."""
        return str(self.renewal["id"])

    def apply(self) -> None:
        """Sign in, choose, sign, submit, pay."""
        self.submit()
        self.pay()

    def submit(self) -> None:
        """Sign in, choose, sign, submit."""
        self._leg("signed in with the client certificate", self.ar.sign_in)
        self.renewal = self._leg("drafted, quoted", lambda: self.ar.draft(self.srns), _quoted)
        self._leg("control of the domains proved (TXT records)", self.prove, self._proved_names)
        attestation = self._leg("document signed (openssl cms), attested", lambda: self.ar.sign(self.id))
        self._leg("submitted", lambda: self.ar.submit(self.id, attestation))

    def prove(self) -> None:
        """Prove control of the domains of all server names."""
        self.ar.prove([name for item in self.renewal["items"] for name in item["server_names"]])

    def _proved_names(self, _: None) -> str:
        return ", ".join(name for item in self.renewal["items"] for name in item["server_names"])

    def pay(self) -> None:
        """Pay by card."""
        self._leg("paid at the provider's page", lambda: self.ar.pay(self.id))

    def receive(self) -> None:
        """Wait for the e-mail and for one PIN Envelope for each server name."""
        self._leg("CSR e-mail in the inbox", self._mail, lambda mail: f"Message-ID {mail['message_id']}")
        self.receive_letters()

    def receive_letters(self) -> None:
        """Wait for the PIN Envelopes only."""
        self.orders = self._leg("orders opened", self._all_orders, lambda found: f"{len(found)} items")
        self.letters = self._leg("PIN Envelopes printed", self._all_letters, lambda found: f"{len(found)} letters")

    def fulfil(self) -> None:
        """Make keys and CSRs, submit them with the PINs, download the certificates."""
        csrs = self.make_csrs()
        for order in self.orders:
            self.hand_in(order, csrs[order])
        for order in self.orders:
            self.download(order)
        self.wait_for_the_end()

    def make_csrs(self) -> dict[Order, str]:
        """Return a CSR with a new key for each order."""
        return self._leg(
            "keys and CSRs made (openssl req)", lambda: {order: self.ar.make_csr(order) for order in self.orders}
        )

    def hand_in(self, order: Order, csr: str) -> None:
        """Submit one CSR with its PINs."""
        self._leg(f"CSR {order.reference} taken", partial(self._submit, order, csr))

    def download(self, order: Order) -> None:
        """Wait for one certificate and download it."""
        certificate = partial(self._wait, f"certificate {order.reference}", partial(self._certificate, order, count()))
        name = f"certificate {order.reference} downloaded"
        self.certificates[order.reference] = self._leg(name, certificate, partial(_named, order))

    def _certificate(self, order: Order, attempts: Iterator[int]) -> Path | None:
        """Return the certificate. If it waits, such as for a proof that a restore has lost, prove the domains again."""
        found = self.ar.certificate(order)
        if found is None and next(attempts) % 100 == 99 and self.ar.is_delayed(order):
            self.ar.prove(order.server_names)
        return found

    def wait_for_the_end(self) -> None:
        """Wait until every item has ended."""
        self._leg("renewal completed", partial(self.wait_for_state, "completed"))

    def accept(self) -> None:
        """Accept each certificate."""
        for order in self.orders:
            self._leg(f"certificate {order.reference} accepted", partial(self.ar.accept, order))

    def verify(self, root: Path) -> dict[str, str]:
        """Return the output of `openssl verify` for each certificate."""
        return {reference: openssl_verify(chain, root) for reference, chain in self.certificates.items()}

    def _submit(self, order: Order, csr: str) -> None:
        pins = {letter.server_name: letter.pin for letter in self.letters if letter.reference == order.reference}
        self.ar.submit_csr(order, csr, pins)

    def _mail(self) -> dict[str, Any]:
        look = partial(_first, self.csr_mails)
        return wait_for("the CSR e-mail", look, seconds=max(self.patience, 60.0), every=0.1)

    def mails(self) -> list[dict[str, Any]]:
        """Return the e-mails about this renewal, newest first."""
        mails = json.loads(plain_http(f"{self.inbox_url}/api/email", patience=self.patience).body)
        return [mail for mail in mails if self.renewal["reference"] in mail["text"]]

    def csr_mails(self) -> list[dict[str, Any]]:
        """Return the CSR request e-mails among them."""
        return [mail for mail in self.mails() if SUBJECT in mail["subject"]]

    def _all_orders(self) -> list[Order]:
        def look() -> list[Order] | None:
            found = self.ar.orders(self.id)
            return found if len(found) == len(self.srns) else None

        return self._wait("the orders", look)

    def _all_letters(self) -> list[Letter]:
        wanted = {(order.reference, name) for order in self.orders for name in order.server_names}

        def look() -> list[Letter] | None:
            found = self.postbox.letters({order.reference for order in self.orders})
            return found if {(letter.reference, letter.server_name) for letter in found} == wanted else None

        return self._wait("the PIN Envelopes", look)

    def wait_for_state(self, state: str) -> None:
        """Wait until the renewal is in this state. Raises TimedOut."""
        self._wait(state, lambda: self.ar.renewal(self.id)["state"] == state or None)

    def wait_for_event(self, event: str) -> None:
        """Wait until the renewal's timeline has this step. Raises TimedOut."""
        self._wait(event, lambda: any(e["event"] == event for e in self.ar.renewal(self.id)["timeline"]) or None)

    def _wait(self, what: str, look: Callable[[], T | None]) -> T:
        return wait_for(what, look, seconds=max(self.patience, 60.0), every=self.every)

    def _leg(self, name: str, step: Callable[[], T], describe: Callable[[T], str] = lambda _: "") -> T:
        started = time.monotonic()
        result = step()
        self.legs.append(Leg(name, time.monotonic() - started, describe(result)))
        return result


def openssl_verify(chain: Path, root: Path) -> str:
    """Return the output of `openssl verify` for the first certificate of a chain file, as a TLS
    server, up to the root.
    """
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(root)]
    done = subprocess.run([*command, "-untrusted", str(chain), str(chain)], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().removeprefix(f"{chain}: ")


def _first(look: Callable[[], list[dict[str, Any]]]) -> dict[str, Any] | None:
    return next(iter(look()), None)


def _named(order: Order, _: Path) -> str:
    return ", ".join(order.server_names)


def _quoted(renewal: dict[str, Any]) -> str:
    fee = f"{renewal['currency']} {renewal['amount_minor'] / 100:,.2f}"
    return f"{renewal['reference']}: {len(renewal['items'])} items, {fee}"
