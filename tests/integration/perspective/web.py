"""Web servers of the fetcher's tests, on addresses of their own: good, redirecting, slow and endless ones."""

import contextlib
import socketserver
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.support.servers import serving

VALUE: Final = b"abcdefghijklmnopqrstuvwxyz234567"
PUBLIC: Final = "127.0.1.1"
PRIVATE: Final = "127.0.0.1"

# Sends bytes, as many and as slowly as it likes.
Send = Callable[[bytes], None]
Page = Callable[[Send], None]


def page(body: bytes = VALUE, status: str = "200 OK", *headers: str, length: int | None = None) -> Page:
    """Return a page with these headers."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return lambda send: send("\r\n".join([*head, "", ""]).encode("latin-1") + body)


def redirect(location: str, status: int = 302) -> Page:
    """Return a redirect."""
    return page(b"", f"{status} Moved", f"Location: {location}")


def raw(*parts: bytes) -> Page:
    """Return an answer in these bytes."""

    def send_all(send: Send) -> None:
        for part in parts:
            send(part)

    return send_all


def dripping(start: bytes, part: bytes, delay: float) -> Page:
    """Return an answer that goes on in small parts for ever."""

    def drip(send: Send) -> None:
        send(start)
        while True:
            time.sleep(delay)  # slowness is what is tried
            send(part)

    return drip


def flooding(start: bytes, part: bytes) -> Page:
    """Return an answer that goes on for ever, as fast as it is read."""

    def flood(send: Send) -> None:
        send(start)
        while True:
            send(part)

    return flood


def silent(_: Send) -> None:
    """Send nothing, until the test is over."""
    time.sleep(20)  # longer than any time limit of a fetch; the thread ends with the process


class Site:
    """A web server that has one page for every host and path, unless a path has its own, and notes all requests."""

    def __init__(self, answer: Page) -> None:
        self.connections = 0
        self.reset(answer)

    def reset(self, answer: Page) -> None:
        """Forget all pages but this one, and all requests."""
        self.answer = answer
        self.by_path: dict[str, Page] = {}
        self.requests: list[str] = []

    def handle(self, request: bytes) -> Page:
        """Return the page for a request."""
        line, _, rest = request.decode("latin-1").partition("\r\n")
        path = line.split(" ")[1]
        host = next(each[6:] for each in rest.split("\r\n") if each.lower().startswith("host: "))
        self.requests.append(f"{host}{path}")
        return self.by_path.get(path, self.answer)


@contextlib.contextmanager
def serve(site: Site, address: str, port: int, certificate: Path | None = None) -> Iterator[None]:
    """Serve a site at an address and port, by TLS with a certificate and key (PEM)."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, ssl.SSLError, IndexError, StopIteration):
                site.connections += 1
                self.request.settimeout(30)
                with context.wrap_socket(self.request, server_side=True) if context else self.request as sock:
                    content = b""
                    while b"\r\n\r\n" not in content:
                        content += sock.recv(4096)
                    site.handle(content)(sock.sendall)
                    if isinstance(sock, ssl.SSLSocket):
                        sock.unwrap()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 256
        block_on_close = False

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with serving(Server((address, port), Handler)):
        yield
