"""Addresses to which a perspective may connect: unicast addresses of the public internet, and no others.

A domain's owner chooses the addresses, so without this check a perspective would fetch from its own network for
strangers (server-side request forgery).
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, written out: `is_global` differs between patch releases of Python, and
# takes for global what leads to other addresses (NAT64, 6to4, AS112).
_SPECIAL: Final[Sequence[IPNetwork]] = tuple(
    map(
        ip_network,
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 "
        "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
        "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20".split(),
    )
)
# All global unicast addresses of IPv6 are here (RFC 4291, 2.4; IANA assigns from no other block). Outside: loopback,
# IPv4-mapped, NAT64, unique local, link-local, site-local, multicast.
_IPV6_UNICAST: Final = IPv6Network("2000::/3")


def is_permitted(address: IPAddress, extra: Iterable[IPNetwork] = ()) -> bool:
    """Return whether a perspective may connect to this address. `extra` are networks of a local system's own."""
    if any(address in network for network in extra):
        return True
    if isinstance(address, IPv6Address) and address not in _IPV6_UNICAST:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)
