"""Sockets of a name server, on loopback unless it is in a pod: UDP and TCP on one port, a thread for each query."""

import socketserver
import threading
from collections.abc import Callable
from typing import Any, Final

# Returns the reply to a message, if it deserves one; the second argument says that it came by UDP.
Answer = Callable[[bytes, bool], bytes | None]
_IDLE_SECONDS: Final = 5
_MAX_MESSAGES: Final = 100


class Server:
    """A running name server."""

    def __init__(self, port: int, answer: Answer, address: str = "127.0.0.1") -> None:
        """Listen on this port; 0 takes a free one."""
        tcp = _TCPServer((address, port), _TCPHandler)
        self.port: int = tcp.server_address[1]
        udp = _UDPServer((address, self.port), _UDPHandler)
        self._servers: tuple[Any, ...] = (tcp, udp)
        for each in (tcp, udp):
            each.answer = answer
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        for each in self._servers:
            each.shutdown()
            each.server_close()


class _TCPServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    answer: Answer


class _UDPServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 65_535
    answer: Answer


class _UDPHandler(socketserver.BaseRequestHandler):
    server: _UDPServer

    def handle(self) -> None:
        received, listener = self.request
        if (reply := self.server.answer(received, True)) is not None:
            listener.sendto(reply, self.client_address)


class _TCPHandler(socketserver.StreamRequestHandler):
    server: _TCPServer
    timeout = _IDLE_SECONDS

    def handle(self) -> None:
        """Answer messages until the client closes, each preceded by its length (RFC 7766)."""
        try:
            for _ in range(_MAX_MESSAGES):
                length = int.from_bytes(self.rfile.read(2), "big")
                received = self.rfile.read(length)
                if not length or len(received) < length:
                    return
                if (reply := self.server.answer(received, False)) is None:
                    return
                self.wfile.write(len(reply).to_bytes(2, "big") + reply)
        except OSError:
            return
