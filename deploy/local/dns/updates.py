"""Client of the zone: publishes and withdraws records by signed updates (RFC 2136, RFC 8945)."""

import base64
import secrets
from pathlib import Path
from typing import Final

import dns.exception
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.tsig
import dns.update
from dns.name import Name, root
from dns.rdataclass import IN

from deploy.local.dns.zone import TTL
from deploy.local.passwords import write_private

_KEY_NAME: Final = dns.name.from_text("local-update.")
# In the zone's folder.
UPDATE_KEY: Final = "tsig.key"
_TIMEOUT: Final = 5.0


class UpdateRefused(Exception):
    """The name server did not apply an update; the message says why."""


def update_keys(folder: Path) -> dict[Name, dns.tsig.Key]:
    """Return the key of updates by its name, a new one the first time."""
    file = folder / UPDATE_KEY
    if not file.exists():
        write_private(file, base64.b64encode(secrets.token_bytes(32)))
    return {_KEY_NAME: dns.tsig.Key(_KEY_NAME, file.read_text(), dns.tsig.HMAC_SHA256)}


class Updates:
    """Updates of the zone in this folder, whose authoritative server listens on this loopback port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._keys = update_keys(folder)
        self._port = port

    def publish(self, name: str, kind: str, value: str) -> None:
        """Add a record; a TXT record's value is its text. Raises UpdateRefused."""
        update = dns.update.UpdateMessage(root, keyring=self._keys)
        update.add(_absolute(name), TTL, _rdata(kind, value))
        self._send(update)

    def withdraw(self, name: str, kind: str, value: str | None = None) -> None:
        """Delete the record of this value, or all records of this type. Raises UpdateRefused."""
        update = dns.update.UpdateMessage(root, keyring=self._keys)
        update.delete(_absolute(name), kind if value is None else _rdata(kind, value))
        self._send(update)

    def _send(self, update: dns.update.UpdateMessage) -> None:
        try:
            reply = dns.query.tcp(update, "127.0.0.1", timeout=_TIMEOUT, port=self._port)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise UpdateRefused(f"no reply: {error!r}") from error
        if reply.rcode() != dns.rcode.NOERROR:
            raise UpdateRefused(dns.rcode.to_text(reply.rcode()))


def _absolute(name: str) -> Name:
    return dns.name.from_text(name, root)


def _rdata(kind: str, value: str) -> dns.rdata.Rdata:
    """Return the record of this value. Raises UpdateRefused."""
    if kind.upper() == "TXT":
        # Strings of at most 255 octets, joined by who reads them (RFC 7208, 3.3).
        content = value.encode()
        strings = [content[n : n + 255] for n in range(0, max(len(content), 1), 255)]
        return dns.rdata.from_wire(
            IN, "TXT", b"".join(bytes((len(each),)) + each for each in strings), 0, len(content) + len(strings)
        )
    try:
        return dns.rdata.from_text(IN, kind, value, root)
    except dns.exception.DNSException as error:
        raise UpdateRefused(f"not a {kind} record: {value}") from error
