"""Zones of the tests' own DNS: their text, how each is signed, and what is wrong with its signatures."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.rdtypes.ANY.DNSKEY
import dns.rdtypes.ANY.DS
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from dns.dnssectypes import Algorithm, DSDigest
from dns.rdatatype import RdataType

DNSKEY = dns.rdtypes.ANY.DNSKEY.DNSKEY
DS = dns.rdtypes.ANY.DS.DS
DAY: Final = 86_400
_HEAD: Final = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
# Old algorithms are signed with, too: the resolver is what is tested.
POLICY: Final = dns.dnssec.allow_all_policy


@dataclass(frozen=True)
class Key:
    """A signing key and its DNSKEY record."""

    private: Any
    public: DNSKEY

    def ds(self, origin: dns.name.Name, digest: DSDigest = DSDigest.SHA256) -> DS:
        """Return the record that the parent zone has about this key."""
        return dns.dnssec.make_ds(origin, self.public, digest, policy=POLICY)


@functools.cache
def _rsa(_: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def make_key(algorithm: Algorithm = Algorithm.ECDSAP256SHA256, *, flags: int = 257, number: int = 1) -> Key:
    """Return a new key; RSA keys are made once for each number, since they take long."""
    match algorithm:
        case Algorithm.ECDSAP256SHA256:
            private: Any = ec.generate_private_key(ec.SECP256R1())
        case Algorithm.ECDSAP384SHA384:
            private = ec.generate_private_key(ec.SECP384R1())
        case Algorithm.ED25519:
            private = ed25519.Ed25519PrivateKey.generate()
        case Algorithm.ED448:
            private = ed448.Ed448PrivateKey.generate()
        case _:
            private = _rsa(number)
    return Key(private, dns.dnssec.make_dnskey(private.public_key(), algorithm, flags=flags))


@dataclass(frozen=True)
class Signed:
    """A zone as it is served, and the DS records that its parent has: none for an insecure delegation."""

    zone: dns.zone.Zone
    ds: Sequence[DS] = ()


Signing = Callable[[dns.zone.Zone], Signed]


@dataclass(frozen=True)
class Zone:
    """A zone: its origin with final dot, its records as text, and how it is signed.

    With `server`, the name of a strange server, no zone file is served at all.
    """

    origin: str
    text: str = ""
    signing: Signing = field(default=lambda zone: secure(zone))
    server: str | None = None

    def parsed(self) -> dns.zone.Zone:
        """Return the zone with its own SOA and NS records."""
        return dns.zone.from_text(_HEAD + self.text + "\n", origin=self.origin, relativize=False)


def sign(zone: dns.zone.Zone, keys: Sequence[Key], *, inception: float = -3600, expiration: float = DAY) -> None:
    """Sign a zone in place, with NSEC; times in seconds from now."""
    now = int(time.time())
    dns.dnssec.sign_zone(
        zone,
        keys=[(key.private, key.public) for key in keys],
        inception=now + inception,
        expiration=now + expiration,
        policy=POLICY,
    )


def origin_of(zone: dns.zone.Zone) -> dns.name.Name:
    assert zone.origin is not None
    return zone.origin


def secure(zone: dns.zone.Zone) -> Signed:
    """Sign as it should be."""
    return secure_with()(zone)


def secure_with(
    algorithm: Algorithm = Algorithm.ECDSAP256SHA256,
    digest: DSDigest = DSDigest.SHA256,
    inception: float = -3600,
    expiration: float = DAY,
) -> Signing:
    """Return a signing with this algorithm, digest and time."""

    def signing(zone: dns.zone.Zone) -> Signed:
        key = make_key(algorithm)
        sign(zone, [key], inception=inception, expiration=expiration)
        return Signed(zone, [key.ds(origin_of(zone), digest)])

    return signing


def insecure(zone: dns.zone.Zone) -> Signed:
    """Sign nothing; the parent says so."""
    return Signed(zone)


def island(zone: dns.zone.Zone) -> Signed:
    """Sign, but tell the parent nothing."""
    return Signed(secure(zone).zone)


def stripped(zone: dns.zone.Zone) -> Signed:
    """Sign nothing, though the parent has a DS record."""
    return Signed(zone, [make_key().ds(origin_of(zone))])


def wrong_key(zone: dns.zone.Zone) -> Signed:
    """Sign with another key than the parent's DS record names."""
    return Signed(secure(zone).zone, [make_key().ds(origin_of(zone))])


def expired(zone: dns.zone.Zone) -> Signed:
    """Sign with signatures that ended a day ago."""
    return secure_with(inception=-9 * DAY, expiration=-DAY)(zone)


def not_yet_valid(zone: dns.zone.Zone) -> Signed:
    """Sign with signatures that begin in five days: more than the tolerance of any resolver."""
    return secure_with(inception=5 * DAY, expiration=9 * DAY)(zone)


def spoilt(mangle: Callable[[dns.zone.Zone], None], before: Signing = secure) -> Signing:
    """Return a signing after which the zone is changed."""

    def signing(zone: dns.zone.Zone) -> Signed:
        signed = before(zone)
        mangle(signed.zone)
        return signed

    return signing


def without_signatures(name: str, kind: RdataType) -> Callable[[dns.zone.Zone], None]:
    """Return a change: remove the signatures over one RRset."""

    def mangle(zone: dns.zone.Zone) -> None:
        zone.delete_rdataset(_at(zone, name), RdataType.RRSIG, kind)

    return mangle


def without(name: str, *kinds: RdataType) -> Callable[[dns.zone.Zone], None]:
    """Return a change: remove RRsets and their signatures, but not what NSEC says of them."""

    def mangle(zone: dns.zone.Zone) -> None:
        for kind in kinds:
            zone.delete_rdataset(_at(zone, name), kind)
            zone.delete_rdataset(_at(zone, name), RdataType.RRSIG, kind)

    return mangle


def replaced(name: str, kind: str, *records: str) -> Callable[[dns.zone.Zone], None]:
    """Return a change: put other records in the place of signed ones."""

    def mangle(zone: dns.zone.Zone) -> None:
        zone.replace_rdataset(_at(zone, name), dns.rdataset.from_text("IN", kind, 300, *records))

    return mangle


def changed(*changes: Callable[[dns.zone.Zone], None]) -> Callable[[dns.zone.Zone], None]:
    """Return several changes as one."""

    def mangle(zone: dns.zone.Zone) -> None:
        for change in changes:
            change(zone)

    return mangle


def _at(zone: dns.zone.Zone, name: str) -> dns.name.Name:
    return origin_of(zone) if name == "@" else dns.name.from_text(name, origin_of(zone))


def with_keys(
    sign_with: Callable[[dns.zone.Zone, Sequence[Key]], None],
    algorithms: Sequence[Algorithm],
    ds_of: Sequence[int],
) -> Signing:
    """Return a signing with several keys, of which some have a DS record in the parent."""

    def signing(zone: dns.zone.Zone) -> Signed:
        keys = [make_key(algorithm, number=number) for number, algorithm in enumerate(algorithms)]
        sign_with(zone, keys)
        return Signed(zone, [keys[index].ds(origin_of(zone)) for index in ds_of])

    return signing


def foreign_ds(algorithm: int, digest: int) -> Signing:
    """Return a signing whose DS record has an algorithm or digest type that no resolver knows."""

    def signing(zone: dns.zone.Zone) -> Signed:
        good = secure(zone)
        known = good.ds[0]
        changed_ds = DS(  # type: ignore[no-untyped-call]  # dnspython's records are untyped
            known.rdclass, known.rdtype, known.key_tag, algorithm, digest, known.digest
        )
        return Signed(good.zone, [changed_ds])

    return signing
