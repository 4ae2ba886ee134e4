"""Peers on loopback that hold a caller: each sends a byte now and then."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# What comes at once; the bytes after it come one by one, until the server closes.
BEGINNINGS: Final = {
    "status-line": b"HTTP/1.1 ",
    "headers": b"HTTP/1.1 200 OK\r\nX-Header: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
    "chunk-size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
}
EVERY_SECONDS: Final = 0.05
# After it the server closes: a caller that would wait for ever fails its test, and does not stop the others.
HOLDS_SECONDS: Final = 10.0


@contextmanager
def dripping(begins: bytes) -> Iterator[int]:
    """Yield the port of a server whose answers begin so, and go on byte by byte."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, begins, ended), daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, begins: bytes, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, begins, ended), daemon=True).start()


def _answer(connection: socket.socket, begins: bytes, ended: threading.Event) -> None:
    with connection:
        try:
            connection.recv(65_536)
            connection.sendall(begins)
            until = time.monotonic() + HOLDS_SECONDS
            while not ended.wait(EVERY_SECONDS) and time.monotonic() < until:
                connection.sendall(b"1")
        except OSError:
            return


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Assert that the block takes no longer than this."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds, f"{took:.1f} s"
