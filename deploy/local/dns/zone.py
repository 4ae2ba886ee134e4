"""Zone of the local root: its keys, its records, and their signatures, made when they are asked for."""

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import dns.dnssec
import dns.node
import dns.rdata
import dns.rdataset
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from dns.name import Name, root
from dns.rdataclass import IN
from dns.rdatatype import DNSKEY, NSEC, RRSIG, SOA, RdataType
from dns.rrset import RRset

from deploy.local.authority import key_pem
from deploy.local.passwords import write_private

TTL: Final = 60
# Trust anchor of resolvers, as a file: the key-signing key's record.
ANCHOR: Final = "root.key"
# Private keys, in the zone's folder: the key-signing key and the zone-signing key.
KEY_FILES: Final = ("ksk.pem", "zsk.pem")
_ALGORITHM: Final = "ECDSAP256SHA256"
_ZONE_KEY: Final = 256
_KEY_SIGNING_KEY: Final = 257
_SIGNED_FOR: Final = 7 * 86_400
# A signature is used for a day; the rest is for clocks that differ.
_USED_FOR: Final = 86_400
_BEFORE: Final = 3_600
_START: Final = ". SOA localhost. hostmaster.localhost. 1 3600 600 86400 60\n. NS localhost.\nlocalhost. A 127.0.0.1\n"


class _Key:
    """A key of the zone, in a file of its own."""

    def __init__(self, file: Path, flags: int) -> None:
        if not file.exists():
            write_private(file, key_pem(ec.generate_private_key(ec.SECP256R1())))
        private = load_pem_private_key(file.read_bytes(), password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        self.private = private
        self.public = dns.dnssec.make_dnskey(private.public_key(), _ALGORITHM, flags)


class SignedZone:
    """The root zone, kept in a file. Its caller lets one thread in at a time."""

    def __init__(self, folder: Path, addresses: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        """Load the zone; the first time, create it with the IPv4 addresses of these names, and write its keys."""
        self._file = folder / "root.zone"
        self._clock = clock
        self._signed: dict[tuple[Name, RdataType], tuple[float, RRset]] = {}
        key_signing_key, zone_key = (folder / name for name in KEY_FILES)
        self._key_signing_key = _Key(key_signing_key, _KEY_SIGNING_KEY)
        self._zone_key = _Key(zone_key, _ZONE_KEY)
        self.anchor = dns.rdataset.from_rdata(TTL, self._key_signing_key.public)
        write_private(folder / ANCHOR, f"{dns.rrset.from_rdata(root, TTL, self._key_signing_key.public)}\n")
        if not self._file.exists():
            hosts = "".join(f"{name}. A {address}\n" for name, address in addresses.items())
            write_private(self._file, f"$TTL {TTL}\n{_START}{hosts}")
        self.records = dns.zone.from_text(self._file.read_text(), origin=root, relativize=False)
        keys = dns.rdataset.from_rdata(TTL, self._key_signing_key.public, self._zone_key.public)
        self.records.replace_rdataset(root, keys)
        self._names = sorted(self.records.nodes)

    def save(self) -> None:
        """Store the records with the next serial number after a change, and drop their signatures."""
        (soa,) = self.records.find_rdataset(root, SOA)
        changed = dns.rdataset.from_rdata(TTL, soa.replace(serial=soa.serial % (2**32 - 1) + 1))
        self.records.replace_rdataset(root, changed)
        write_private(self._file, self.records.to_text(relativize=False))
        self._names = sorted(self.records.nodes)
        self._signed.clear()

    def find(self, name: Name, kind: RdataType) -> RRset | None:
        """Return the records of this name and type."""
        return self.records.get_rrset(name, kind)

    def contains(self, name: Name) -> bool:
        """Return whether there are records at this name or below it."""
        return name in self.records.nodes or self._after(name).is_subdomain(name)

    def denial(self, name: Name) -> RRset:
        """Return the NSEC record of this name, or of the last one before it (RFC 4034, 4)."""
        owner = self._names[bisect_right(self._names, name) - 1]
        kinds = {each.rdtype for each in self.records.nodes[owner]} | {RRSIG, NSEC}
        text = f"{self._after(owner)} {' '.join(kind.name for kind in sorted(kinds))}"
        return dns.rrset.from_text(owner, TTL, IN, NSEC, text)

    def signature(self, rrset: RRset) -> RRset:
        """Return the signature of these records, at most a day old."""
        now = self._clock()
        made, found = self._signed.get((rrset.name, rrset.rdtype), (0.0, None))
        if found is None or not made <= now < made + _USED_FOR:
            key = self._key_signing_key if rrset.rdtype == DNSKEY else self._zone_key
            begins, ends = now - _BEFORE, now + _SIGNED_FOR
            rrsig = dns.dnssec.sign(rrset, key.private, root, key.public, inception=begins, expiration=ends)
            found = dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)
            self._signed[rrset.name, rrset.rdtype] = now, found
        return found

    def _after(self, name: Name) -> Name:
        """Return the next name of the zone; after the last one, the root."""
        place = bisect_right(self._names, name)
        return self._names[place] if place < len(self._names) else root
