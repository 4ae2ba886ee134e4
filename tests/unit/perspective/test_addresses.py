"""Addresses to which a perspective connects."""

from ipaddress import ip_address, ip_network

import pytest

from perspective.addresses import is_permitted


@pytest.mark.parametrize(
    "address",
    "8.8.8.8 1.1.1.1 203.80.96.10 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.255.255 223.255.255.255 "
    "2400:cb00::1 2606:4700::6810:84e5 2001:4860:4860::8888 2001:200::1 2a00:1450::1".split(),
)
def test_address_of_the_public_internet_is_permitted(address: str) -> None:
    assert is_permitted(ip_address(address))


@pytest.mark.parametrize(
    "address",
    "0.0.0.0 0.255.255.255 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 "
    "172.31.255.255 192.0.0.1 192.0.0.9 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.175.48.1 "
    "198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 "
    ":: ::1 ::ffff:8.8.8.8 ::ffff:127.0.0.1 ::8.8.8.8 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:: "
    "2001:10::1 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3fff::1 5f00::1 fc00::1 "
    "fd00:ec2::254 fe80::1 fec0::1 ff02::1 4000::1".split(),
)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_permitted(ip_address(address))


def test_local_network_is_permitted_and_no_other() -> None:
    extra = [ip_network("127.0.1.0/24")]
    assert is_permitted(ip_address("127.0.1.9"), extra)
    assert not is_permitted(ip_address("127.0.0.1"), extra)
    assert not is_permitted(ip_address("::1"), extra)
