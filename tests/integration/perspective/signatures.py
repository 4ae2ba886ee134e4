"""Cases of the long test run about DNSSEC: algorithms and rolls, signatures, denials, NSEC3."""

from collections.abc import Sequence
from typing import Final

import dns.dnssec
import dns.rdatatype
import dns.zone
from dns.dnssectypes import Algorithm, DSDigest
from dns.rdatatype import RdataType

from tests.integration.perspective.cases import NOT_PROVED, PERMITTED, Table
from tests.integration.perspective.servers import nsec3, opt_out
from tests.integration.perspective.zones import (
    DAY,
    Key,
    Signed,
    Zone,
    changed,
    expired,
    foreign_ds,
    insecure,
    island,
    make_key,
    not_yet_valid,
    origin_of,
    replaced,
    secure_with,
    sign,
    spoilt,
    stripped,
    with_keys,
    without,
    without_signatures,
    wrong_key,
)

TABLE: Final = Table("s")
row = TABLE.row
FORBIDDING: Final = '@ CAA 0 issue ";"\nwww A 127.0.1.1'
OURS: Final = '@ CAA 0 issue "ca.example"\nwww A 127.0.1.1'
P256, P384, RSA256 = Algorithm.ECDSAP256SHA256, Algorithm.ECDSAP384SHA384, Algorithm.RSASHA256


def by_all(zone: dns.zone.Zone, keys: Sequence[Key]) -> None:
    """Sign with every key."""
    sign(zone, keys)


def by_first(zone: dns.zone.Zone, keys: Sequence[Key]) -> None:
    """Publish every key, sign with the first."""
    only_published(zone, keys[1:])
    sign(zone, keys[:1])


def only_published(zone: dns.zone.Zone, keys: Sequence[Key]) -> None:
    with zone.writer() as writer:
        for key in keys:
            writer.add(origin_of(zone), 300, key.public)


def cut_off(zone: dns.zone.Zone) -> None:
    """Remove the keys from a signed zone."""
    without("@", RdataType.DNSKEY)(zone)


def tampered_signature(zone: dns.zone.Zone) -> None:
    """Change a bit of the signature over the CAA records."""
    found = zone.find_rdataset(origin_of(zone), RdataType.RRSIG, RdataType.CAA)
    (signature,) = list(found)
    spoilt_bytes = bytes([signature.signature[0] ^ 1]) + signature.signature[1:]
    found.clear()  # type: ignore[no-untyped-call]  # dnspython's sets are untyped
    found.add(signature.replace(signature=spoilt_bytes), 300)


def other_zones_signature(zone: dns.zone.Zone) -> None:
    """Name another signer in the signature over the CAA records."""
    found = zone.find_rdataset(origin_of(zone), RdataType.RRSIG, RdataType.CAA)
    (signature,) = list(found)
    found.clear()  # type: ignore[no-untyped-call]  # dnspython's sets are untyped
    found.add(signature.replace(signer=dns.name.from_text("hk.")), 300)


def no_zone_key(zone: dns.zone.Zone) -> Signed:
    """Sign by a key that is not marked as a zone's (RFC 4034, 2.1.1), though the parent's DS record names it."""
    key = make_key(flags=1)
    sign(zone, [key])
    return Signed(zone, [key.ds(origin_of(zone))])


# Algorithms, digests and rolls.
for algorithm in (P384, Algorithm.ED25519, Algorithm.ED448, RSA256, Algorithm.RSASHA512):
    row(
        f"signed by {algorithm.name}",
        FORBIDDING,
        "caa www",
        "found",
        "caa-forbids-all",
        signing=secure_with(algorithm),
        secure=True,
    )
row(
    "DS record by SHA-384",
    OURS,
    "caa www",
    "found",
    PERMITTED,
    signing=secure_with(digest=DSDigest.SHA384),
    secure=True,
)
row(
    "algorithm roll: both sign, DS of the new",
    OURS,
    "caa www",
    "found",
    PERMITTED,
    signing=with_keys(by_all, [P256, P384], [1]),
    secure=True,
)
row(
    "algorithm roll: both sign, DS of both",
    OURS,
    "caa www",
    "found",
    PERMITTED,
    signing=with_keys(by_all, [RSA256, P256], [0, 1]),
    secure=True,
)
row(
    "algorithm roll: old signs, DS of the new",
    OURS,
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=with_keys(by_first, [RSA256, P256], [1]),
)
row(
    "key roll: old signs, new is published",
    OURS,
    "caa www",
    "found",
    PERMITTED,
    signing=with_keys(by_first, [P256, P256], [0]),
    secure=True,
)
row(
    "key roll: old signs, DS of the new",
    OURS,
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=with_keys(by_first, [P256, P256], [1]),
)
row(
    "key roll: DS of both, of which one is published",
    OURS,
    "caa www",
    "found",
    PERMITTED,
    signing=with_keys(lambda zone, keys: sign(zone, keys[:1]), [P256, P256], [0, 1]),
    secure=True,
)
row("DS record of an unknown algorithm", OURS, "caa www", "found", PERMITTED, signing=foreign_ds(200, 2), secure=False)
row("DS record of an unknown digest", OURS, "caa www", "found", PERMITTED, signing=foreign_ds(13, 200), secure=False)
row("key without the zone bit", OURS, "caa www", "dns-bogus", "dns-bogus", signing=no_zone_key)
row("signed zone without DS record", OURS, "caa www", "found", PERMITTED, signing=island, secure=False)

# Signatures.
row(
    "signatures that ended five hours ago",
    OURS,
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=secure_with(inception=-DAY, expiration=-5 * 3600),
)
row(
    "signatures until after 2038",
    OURS,
    "caa www",
    "found",
    PERMITTED,
    signing=secure_with(expiration=20 * 365 * DAY),
    secure=True,
)
row("expired signatures, no such name", "", "txt _validation.www", "dns-bogus", NOT_PROVED, signing=expired)
row(
    "signatures of the future, TXT",
    "_validation.www TXT {value}",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=not_yet_valid,
)
row("one bit of a signature changed", OURS, "caa www", "dns-bogus", "dns-bogus", signing=spoilt(tampered_signature))
row("signature of another zone", OURS, "caa www", "dns-bogus", "dns-bogus", signing=spoilt(other_zones_signature))
row("keys removed", OURS, "caa www", "dns-bogus", "dns-bogus", signing=spoilt(cut_off))
row(
    "signature of the keys missing",
    OURS,
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(without_signatures("@", RdataType.DNSKEY)),
)
row(
    "signature of the value missing",
    "_validation.www TXT {value}",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=spoilt(without_signatures("_validation.www", RdataType.TXT)),
)
row(
    "another key's signatures, TXT",
    "_validation.www TXT {value}",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=wrong_key,
)
row("no signatures, no such name", "", "txt _validation.www", "dns-bogus", NOT_PROVED, signing=stripped)
row(
    "an added address, unsigned",
    "_validation.www TXT other",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=spoilt(replaced("_validation.www", "TXT", '"other"', '"abcdefghijklmnopqrstuvwxyz234567"')),
)

# Denial.
row(
    "denial removed",
    "www A 127.0.1.1",
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(without("www", RdataType.NSEC)),
)
row(
    "name and its denial removed",
    'www CAA 0 issue ";"\nx A 127.0.1.1',
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(changed(without("www", RdataType.CAA, RdataType.NSEC))),
)
row(
    "forged denial",
    'www CAA 0 issue ";"',
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(changed(without("www", RdataType.CAA), replaced("www", "NSEC", "www A RRSIG NSEC"))),
)
row("NSEC3, no records", "www A 127.0.1.1", "caa www", "absent", PERMITTED, signing=nsec3, secure=True)
row("NSEC3, no such name", "", "caa a.b.www", "absent", PERMITTED, signing=nsec3, secure=True)
row("NSEC3, forbidding records", FORBIDDING, "caa www", "found", "caa-forbids-all", signing=nsec3, secure=True)
row("NSEC3, wildcard", '*.shop CAA 0 issue ";"', "caa a.shop", "found", "caa-forbids-all", signing=nsec3, secure=True)
row(
    "NSEC3, forbidding records removed",
    'www CAA 0 issue ";"\nwww A 127.0.1.1',
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(without("www", RdataType.CAA), nsec3),
)
row(
    "NSEC3 with opt-out, unsigned child",
    FORBIDDING,
    "caa www.sub",
    "found",
    PERMITTED,
    signing=opt_out,
    more=[Zone("sub", OURS, insecure)],
    secure=False,
)
row(
    "NSEC3, expired signatures of a child",
    OURS,
    "caa www.sub",
    "dns-bogus",
    "dns-bogus",
    signing=nsec3,
    more=[Zone("sub", OURS, expired)],
)
row(
    "wildcard above a name that is not there",
    '*.shop CAA 0 issue ";"',
    "caa a.b.c.shop",
    "found",
    "caa-forbids-all",
    secure=True,
)
row(
    "wildcard below an existing name does not apply",
    '*.shop CAA 0 issue ";"\nc.shop A 127.0.1.1',
    "caa a.c.shop",
    "absent",
    PERMITTED,
    secure=True,
)
row(
    "wildcard's answer without its denial",
    '*.shop CAA 0 issue "ca.example"\nz A 127.0.1.1',
    "caa a.shop",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(without("*.shop", RdataType.NSEC)),
)
