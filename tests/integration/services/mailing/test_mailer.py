"""Outcomes of SMTP conversations, in real conversations."""

import socket
from collections.abc import Iterator

import pytest

from services.mailing.mailer import MailServer, SMTPMailer
from services.mailing.refusals import MailOutcomeUnknown, MailRefused, MailServerUnavailable
from tests.integration.services.mailing.mail_server import LOSE_CONNECTION, MailServerFake, mail_server
from tests.support.servers import silent_server

MESSAGE = b"Subject: A test\r\nMessage-ID: <1@ecert.localhost>\r\n\r\nHello\r\n.a line with a dot\r\n..\r\n"


@pytest.fixture
def server() -> Iterator[MailServerFake]:
    with mail_server(MailServerFake()) as fake:
        yield fake


def mailer_for(port: int) -> SMTPMailer:
    return SMTPMailer(MailServer.parse(f"smtp://127.0.0.1:{port}"), "no-reply@ecert.localhost", timeout=3)


def test_accepted_message_arrives_byte_for_byte(server: MailServerFake) -> None:
    mailer_for(server.port).send("chan@example.hk", MESSAGE)
    assert server.taken == [MESSAGE]


@pytest.mark.parametrize("where", ["rcpt", "data"])
def test_reply_451_is_temporary(server: MailServerFake, where: str) -> None:
    getattr(server, where).append("451 Try again")
    with pytest.raises(MailServerUnavailable) as refusal:
        mailer_for(server.port).send("chan@example.hk", MESSAGE)
    assert refusal.value.code == 451
    mailer_for(server.port).send("chan@example.hk", MESSAGE)
    assert server.taken == [MESSAGE]


@pytest.mark.parametrize("where", ["rcpt", "data"])
def test_reply_550_is_permanent(server: MailServerFake, where: str) -> None:
    getattr(server, where).append("550 No such mailbox")
    with pytest.raises(MailRefused) as refusal:
        mailer_for(server.port).send("nobody@example.hk", MESSAGE)
    assert refusal.value.code == 550
    assert server.taken == []


def test_connection_lost_after_the_final_dot_leaves_the_outcome_unknown(server: MailServerFake) -> None:
    server.data.append(LOSE_CONNECTION)
    with pytest.raises(MailOutcomeUnknown):
        mailer_for(server.port).send("chan@example.hk", MESSAGE)
    assert server.taken == [MESSAGE]


def test_server_that_refuses_connections_is_unavailable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(MailServerUnavailable) as refusal:
        mailer_for(port).send("chan@example.hk", MESSAGE)
    assert refusal.value.code is None


def test_silent_server_is_unavailable_after_the_timeout() -> None:
    with silent_server() as address:
        mailer = SMTPMailer(MailServer.parse(f"smtp://{address}"), "no-reply@ecert.localhost", timeout=0.2)
        with pytest.raises(MailServerUnavailable):
            mailer.send("chan@example.hk", MESSAGE)


def test_server_without_required_starttls_gets_no_mail(server: MailServerFake) -> None:
    insisting = MailServer.parse(f"smtp://127.0.0.1:{server.port}", starttls=True)
    with pytest.raises(MailServerUnavailable):
        SMTPMailer(insisting, "no-reply@ecert.localhost", timeout=3).send("chan@example.hk", MESSAGE)
    assert server.offered == []


def test_address_of_the_server_may_carry_tls_and_credentials() -> None:
    server = MailServer.parse("smtps://user%40ca:p%3Aw@mail.example.hk")
    assert (server.host, server.port, server.encrypted) == ("mail.example.hk", 465, True)
    assert (server.username, server.password) == ("user@ca", "p:w")
    for wrong in ("http://mail:25", "mail:25", "smtp://", "smtp://mail/inbox"):
        with pytest.raises(ValueError, match="smtp://host:port"):
            MailServer.parse(wrong)
