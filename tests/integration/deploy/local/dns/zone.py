"""A zone with its servers, one of which changes its replies, and unbound as the measure of our resolver."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.flags
import dns.message
import dns.query
from dns.message import Message

from deploy.local.dns.authority import Authority
from deploy.local.dns.server import Server
from deploy.local.dns.updates import Updates
from deploy.local.dns.zone import ANCHOR

DAYS: Final = 86_400
HOSTS: Final = ("www.example.hk", "a.b.c.example.hk", "mail.example.hk")
Tamper = Callable[[Message], None]
_true_time: Final = time.time


def clock(days: float) -> Callable[[], float]:
    """Return a clock that is so many days ahead."""
    return lambda: _true_time() + days * DAYS


@dataclass
class Zone:
    """The zone's servers: an honest one for updates, and one that changes its replies, which the resolvers ask."""

    folder: Path
    authority: Server
    liar: Server
    resolver: Server
    unbound_port: int | None
    updates: Updates
    tamper: Tamper | None = None
    source: Authority | None = None

    def ask(self, port: int, name: str, kind: str, flags: int = dns.flags.AD, *, tcp: bool = True) -> Message:
        query = dns.message.make_query(name, kind, want_dnssec=True)
        query.flags |= flags
        ask = dns.query.tcp if tcp else dns.query.udp
        return ask(query, "127.0.0.1", timeout=5, port=port)


def serve_lies(zone: Zone, honest: Authority) -> Callable[[bytes, bool], bytes | None]:
    def answer(received: bytes, udp: bool) -> bytes | None:
        found = (zone.source or honest).answer(received, False)
        assert found is not None
        reply = dns.message.from_wire(found)
        if zone.tamper is not None:
            zone.tamper(reply)
        return reply.to_wire(max_size=65_535)

    return answer


def start_unbound(folder: Path, port: int, authority: int) -> "subprocess.Popen[bytes]":
    file = folder / "unbound.conf"
    file.write_text(
        f"""server:
  interface: 127.0.0.1@{port}
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  do-not-query-localhost: no
  qname-minimisation: no
  aggressive-nsec: no
  module-config: "validator iterator"
  trust-anchor-file: "{folder / ANCHOR}"
stub-zone:
  name: "."
  stub-addr: 127.0.0.1@{authority}
remote-control:
  control-enable: no
"""
    )
    with (folder / "unbound.log").open("wb") as log:
        return subprocess.Popen(("unbound", "-c", str(file)), stdout=log, stderr=log)
