"""The provider's adapter distinguishes permanent from temporary failures, and refuses answers that it cannot read."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from services.payment.domain import Checkout, CheckoutId, CheckoutState, PaymentId, SessionStatus
from services.payment.provider_adapter import ProviderAdapter
from services.payment.refusals import ProviderRefused, ProviderUnavailable
from tests.integration.services.payment.sandbox_process import API_KEY, Sandbox
from tests.support.servers import silent_server


def adapter(url: str, *, live_only: bool = False, api_key: str = API_KEY) -> ProviderAdapter:
    return ProviderAdapter(url=url, api_key=api_key, live_only=live_only)


def new_checkout() -> Checkout:
    return Checkout(
        id=CheckoutId(uuid.uuid4()),
        payment_id=PaymentId(uuid.uuid4()),
        state=CheckoutState.INTENDED,
        amount_minor=250_000,
        currency="HKD",
        description="e-Cert (Server) renewal R-0001",
        return_url="https://portal.ecert.example/",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


@contextmanager
def provider_answering(answer: bytes) -> Iterator[str]:
    """Run a provider that sends these bytes to each caller, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_checkout_is_opened_found_and_closed(sandbox: Sandbox) -> None:
    provider = adapter(sandbox.url)
    checkout = new_checkout()
    assert provider.find_checkout(checkout) is None
    opened = provider.open_checkout(checkout)
    assert opened.fits(checkout)
    assert provider.find_checkout(checkout) == opened
    assert provider.close_checkout(opened).status is SessionStatus.CANCELLED


def test_closing_a_paid_checkout_says_that_it_is_paid(sandbox: Sandbox) -> None:
    provider = adapter(sandbox.url)
    opened = provider.open_checkout(new_checkout())
    sandbox.press(opened.checkout_url, "pay")
    assert provider.close_checkout(opened).status is SessionStatus.PAID


def test_permanently_invalid_order_is_refused_with_the_providers_reason(sandbox: Sandbox) -> None:
    late = Checkout(**vars(new_checkout()) | {"expires_at": datetime.now(UTC) - timedelta(hours=1)})
    with pytest.raises(ProviderRefused) as caught:
        adapter(sandbox.url).open_checkout(late)
    assert caught.value.code == "bad_expiry"


def test_same_key_with_another_body_is_refused(sandbox: Sandbox) -> None:
    checkout = new_checkout()
    adapter(sandbox.url).open_checkout(checkout)
    with pytest.raises(ProviderRefused) as caught:
        adapter(sandbox.url).open_checkout(Checkout(**vars(checkout) | {"amount_minor": 1}))
    assert caught.value.code == "idempotency_key_reused"


def test_wrong_api_key_is_unavailable_and_not_a_refusal(sandbox: Sandbox) -> None:
    with pytest.raises(ProviderUnavailable):
        adapter(sandbox.url, api_key="sk_sandbox_wrong").open_checkout(new_checkout())


def test_production_refuses_a_provider_in_sandbox_mode(sandbox: Sandbox) -> None:
    checkout = new_checkout()
    adapter(sandbox.url).open_checkout(checkout)
    for call in (
        adapter(sandbox.url, live_only=True).open_checkout,
        adapter(sandbox.url, live_only=True).find_checkout,
    ):
        with pytest.raises(ProviderUnavailable, match="sandbox"):
            call(checkout)


UNREADABLE = [
    http(b""),
    http(b"{"),
    http(b"[]"),
    http(b"{}"),
    http(b"\xff"),
    http(b"[" * 100_000),
    http(b" " * 300_000),
    http(b'{"data": 7}'),
    http(b'{"data": [7]}'),
    http(b'{"data": [{"id": "cs_1"}]}'),
    http(json.dumps({"data": [{}, {}]}).encode()),
    http(b"{}", "302 Found\r\nLocation: http://127.0.0.1:1/"),
    http(b"oops", "500 Internal Server Error"),
    http(b'{"error": 7}', "429 Too Many Requests"),
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
    b"what?",
    b"",
]


@pytest.mark.parametrize("answer", UNREADABLE, ids=range(len(UNREADABLE)))
def test_unreadable_answer_is_unavailable(answer: bytes) -> None:
    with provider_answering(answer) as url, pytest.raises(ProviderUnavailable):
        adapter(url).find_checkout(new_checkout())


def test_connection_is_closed_after_each_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as caller:
        server.settimeout(5)
        provider = adapter(f"http://127.0.0.1:{server.getsockname()[1]}")
        for _ in range(2):
            found = caller.submit(provider.find_checkout, new_checkout())
            connection, _ = server.accept()
            with connection:
                assert b"\r\nConnection: close\r\n" in connection.recv(65536)
                connection.sendall(http(b'{"data": []}', "200 OK\r\nConnection: close"))
                assert found.result(timeout=5) is None


def test_silent_provider_is_unavailable_after_the_timeout() -> None:
    with silent_server() as address:
        begun = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            adapter(f"http://{address}").find_checkout(new_checkout())
        assert time.monotonic() - begun < 8
