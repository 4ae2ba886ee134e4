"""A mail server of our own, over real SMTP, that can be made to misbehave."""

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LOSE_CONNECTION = "lose connection"


@dataclass
class MailServerFake:
    """Keeps what it takes. `rcpt` and `data` hold the answers to come; once they are used up it takes everything."""

    taken: list[bytes] = field(default_factory=list)
    offered: list[bytes] = field(default_factory=list)
    rcpt: deque[str] = field(default_factory=deque)
    data: deque[str] = field(default_factory=deque)
    port: int = 0

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt:
            return self.rcpt.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.offered.append(envelope.content)
        answer = self.data.popleft() if self.data else "250 OK"
        if answer == LOSE_CONNECTION:
            self.taken.append(envelope.content)  # taken, and nobody hears of it
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        elif answer.startswith("250"):
            self.taken.append(envelope.content)
        return answer


@contextmanager
def mail_server(fake: MailServerFake) -> Iterator[MailServerFake]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        fake.port = probe.getsockname()[1]
    controller = Controller(fake, hostname="127.0.0.1", port=fake.port)
    controller.start()
    try:
        yield fake
    finally:
        controller.stop()
