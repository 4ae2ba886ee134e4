"""`python -m deploy.local.dns`: publish, withdraw and look up records in the DNS of the running system."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

from deploy.local.dns.updates import UpdateRefused, Updates
from deploy.local.installation import DEFAULT_FOLDER, Installation


def look_up(port: int, name: str, kind: str) -> str:
    """Return what the resolver on this port says of a name, and whether it validated. Raises DNSException, OSError."""
    query = dns.message.make_query(name, kind, want_dnssec=True)
    query.flags |= dns.flags.AD
    reply = dns.query.tcp(query, "127.0.0.1", timeout=5, port=port)
    found = "\n".join(str(each) for each in reply.answer if each.rdtype.name != "RRSIG")
    secure = "secure" if reply.flags & dns.flags.AD else "not secure"
    return f"{dns.rcode.to_text(reply.rcode())}, {secure}\n{found}".rstrip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.dns", description="DNS of the system on this machine")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="folder of the installation")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text, more in (
        ("publish", "add a record", "value"),
        ("withdraw", "delete the records of a type, or the one of a value", "value?"),
        ("show", "look a name up at the primary perspective's resolver", ""),
    ):
        own = commands.add_parser(command, help=text)
        own.add_argument("name", help="absolute name, such as _validation.www.harbourlights.example.hk")
        own.add_argument("type", help="TXT, CNAME, CAA, A or AAAA")
        if more:
            own.add_argument("value", nargs="?" if more.endswith("?") else None)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    installation = Installation.that_runs(options.folder)
    try:
        if options.command == "show":
            print(look_up(installation.resolver_ports["hkg"], options.name, options.type))
            return 0
        updates = Updates(installation.dns, installation.ports.dns)
        change = updates.publish if options.command == "publish" else updates.withdraw
        change(options.name, options.type, options.value)
    except (UpdateRefused, dns.exception.DNSException, OSError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
