"""DNS process of `make run`: the zone on one port, and a validating resolver on each of the others.

In a development cluster it serves the zone alone.

It starts beside everything else: it imports no more than it needs.
"""

import argparse
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.local.dns.authority import Authority
from deploy.local.dns.resolver import Resolver
from deploy.local.dns.server import Server
from deploy.local.dns.updates import update_keys
from deploy.local.dns.zone import SignedZone


def serve(
    folder: Path, port: int, resolver_ports: Sequence[int], hosts: Iterable[str], address: str = "127.0.0.1"
) -> list[Server]:
    """Serve the zone, with these hosts if it is new, and the resolvers."""
    zone = SignedZone(folder, dict.fromkeys(hosts, "127.0.0.1"))
    authority = Server(port, Authority(zone, update_keys(folder)).answer, address)
    resolvers = [Resolver(("127.0.0.1", authority.port), zone.anchor) for _ in resolver_ports]
    return [authority, *(Server(own, each.answer) for own, each in zip(resolver_ports, resolvers, strict=True))]


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--address", default="127.0.0.1", help="address of the zone's server; the resolvers are on loopback"
    )
    parser.add_argument("--resolver-ports", type=int, nargs="*", default=())
    parser.add_argument("--hosts", nargs="*", default=(), help="names with an address in a new zone")
    options = parser.parse_args()
    signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked in all threads: the main thread takes them below.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    servers = serve(options.folder, options.port, options.resolver_ports, options.hosts, options.address)
    signal.sigwait(signals)
    for each in servers:
        each.close()


if __name__ == "__main__":
    main()
