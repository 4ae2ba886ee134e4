"""The feed's own process behind the real gateway: who gets what, how it ends, and where it refuses to stand."""

import json
import socket
import threading
import time

import pytest

from deploy.gateway.rules import FEED, FEED_PATHS
from deploy.local import back_office
from deploy.local.waiting import wait_until
from services.issuance.feed import readers
from services.issuance.feed.settings import read_settings
from shared.settings import SettingsError
from tests.integration.deploy.local.echo import Answer, Client
from tests.integration.services.issuance.feed.running import Running
from tests.integration.services.issuance.feed.test_rights import GRANTED
from tests.integration.services.issuance.world import World

HOST = "backoffice.ecert.localhost"


@pytest.fixture
def gateway(feed: Running) -> Client:
    return Client(port=feed.port, root=feed.pki.gateway / "root.pem")


def ask(gateway: Client, feed: Running, name: str | None, path: str) -> Answer:
    certificate = feed.pki.back_office / f"{name}.pem" if name else None
    return gateway.ask(HOST, path, certificate=certificate)


def test_clients_get_the_rights_of_their_role_through_the_gateway(feed: Running, gateway: Client) -> None:
    roles: dict[str | None, readers.Role | None] = {client.name: client.role for client in back_office.CLIENTS}
    for name, role in {**roles, None: None}.items():
        for path in FEED_PATHS:
            answer = ask(gateway, feed, name, path)
            assert (answer.status == 200) == (path in GRANTED[role]), (name, path)
            if answer.status != 200:
                assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")


def test_process_stops_at_once_and_answers_waiting_requests(world: World, feed: Running, gateway: Client) -> None:
    answers: list[Answer] = []
    path = f"{FEED_PATHS[0]}?wait=20"
    waiting = threading.Thread(target=lambda: answers.append(ask(gateway, feed, "backoffice", path)))
    waiting.start()
    wait_until(lambda: feed.metric("feed_waiting_requests") == 1, limit=10, what="somebody waits")
    begun = time.monotonic()
    feed.process.terminate()
    assert feed.process.wait(15) == 0
    waiting.join(5)
    assert time.monotonic() - begun < 10
    (answer,) = answers
    assert (answer.status, json.loads(answer.body)) == (200, [])


def test_direct_requests_at_the_socket_are_refused(feed: Running) -> None:
    """The socket is its owner's alone; who is that owner has the gateway's word anyway."""
    path = feed.sockets / f"{FEED}.sock"
    assert path.stat().st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(path))
        plain.sendall(f"GET {FEED_PATHS[0]} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        assert b"client-certificate-missing" in b"".join(iter(lambda: plain.recv(65536), b""))


@pytest.mark.parametrize("bind", ["127.0.0.1:8000", ":8000", "0.0.0.0:443"])
def test_feed_listens_only_where_the_gateway_reaches_it(monkeypatch: pytest.MonkeyPatch, bind: str) -> None:
    for name, value in {"FEED_DATABASE_URL": "x", "FEED_JWKS_FILE": "x", "BIND": bind}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="BIND"):
        read_settings()
    monkeypatch.setenv("BIND", "unix:/run/feed.sock")
    assert read_settings().web.bind == "unix:/run/feed.sock"


def test_every_missing_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEED_DATABASE_URL", "FEED_JWKS_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"(?s)FEED_DATABASE_URL.*FEED_JWKS_FILE"):
        read_settings()
