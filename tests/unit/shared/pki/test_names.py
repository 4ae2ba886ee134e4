"""Server names: each rule once, and the comparison."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pki.names import NameFault, NameRefused, certificate_names, server_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("WWW.Example.HK", "www.example.hk"),
        ("*.example.hk", "*.example.hk"),
        ("shop.example.com.hk", "shop.example.com.hk"),
        ("商店.example.hk", "xn--czrs0t.example.hk"),
        ("xn--czrs0t.example.hk", "xn--czrs0t.example.hk"),
        ("xn--czrx92a.xn--j6w193g", "xn--czrx92a.xn--j6w193g"),
        ("3com.hk", "3com.hk"),
        ("www。example．com｡hk", "www.example.com.hk"),
        ("*。商店。example.hk", "*.xn--czrs0t.example.hk"),
    ],
)
def test_valid_name_is_normalised_to_lower_case_a_labels(text: str, name: str) -> None:
    assert server_name(text) == name


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", NameFault.EMPTY),
        ("a" * 250 + ".hk.example.hk", NameFault.TOO_LONG),
        ("a" * 64 + ".example.hk", NameFault.NOT_LDH),
        ("www.example.hk.", NameFault.TRAILING_DOT),
        ("my_host.example.hk", NameFault.UNDERSCORE),
        ("-www.example.hk", NameFault.NOT_LDH),
        ("www-.example.hk", NameFault.NOT_LDH),
        ("www..example.hk", NameFault.NOT_LDH),
        ("www example.hk", NameFault.NOT_LDH),
        ("www.example.hk\x00.evil.hk", NameFault.NOT_LDH),
        ("https://www.example.hk", NameFault.NOT_LDH),
        ("ar@example.hk", NameFault.NOT_LDH),
        ("ab--cd.example.hk", NameFault.BAD_IDN),
        ("xn--zzzzzzzz99999.example.hk", NameFault.BAD_IDN),
        ("☃.example.hk", NameFault.BAD_IDN),
        ("203.0.113.7", NameFault.IP_ADDRESS),
        ("2001:db8::1", NameFault.IP_ADDRESS),
        ("[2001:db8::1]", NameFault.IP_ADDRESS),
        ("10.1", NameFault.IP_ADDRESS),
        ("intranet", NameFault.INTERNAL),
        ("mail.corp", NameFault.INTERNAL),
        ("host.local", NameFault.INTERNAL),
        ("host.home.arpa", NameFault.INTERNAL),
        ("www.nosuchtld", NameFault.INTERNAL),
        ("7.113.0.203.in-addr.arpa", NameFault.REVERSE_ZONE),
        ("1.0.ip6.arpa", NameFault.REVERSE_ZONE),
        ("x.y.ip6。arpa", NameFault.REVERSE_ZONE),
        ("1。0.ip6．arpa", NameFault.REVERSE_ZONE),
        ("www.example.hk。", NameFault.TRAILING_DOT),
        ("商店.example.hk｡", NameFault.TRAILING_DOT),
        ("www.example。local", NameFault.INTERNAL),
        ("203。0．113｡7", NameFault.IP_ADDRESS),
        ("www.。example.hk", NameFault.NOT_LDH),
        ("*。com。hk", NameFault.PUBLIC_SUFFIX),
        ("com.hk", NameFault.PUBLIC_SUFFIX),
        ("*.com.hk", NameFault.PUBLIC_SUFFIX),
        ("*.hk", NameFault.INTERNAL),
        ("*", NameFault.WILDCARD),
        ("www.*.example.hk", NameFault.WILDCARD),
        ("w*.example.hk", NameFault.WILDCARD),
        ("*.*.example.hk", NameFault.WILDCARD),
    ],
)
def test_name_that_no_certificate_may_have_is_refused_with_its_reason(text: str, fault: NameFault) -> None:
    with pytest.raises(NameRefused) as refusal:
        server_name(text)
    assert refusal.value.reason == fault.value


@given(st.text(max_size=260))
def test_any_text_is_refused_or_normalised_to_a_stable_name(text: str) -> None:
    try:
        name = server_name(text)
    except NameRefused:
        return
    assert server_name(name) == name
    assert name.isascii()
    assert all(label for label in name.split("."))


def test_wildcard_brings_its_base_name_along() -> None:
    assert certificate_names(["*.example.hk"]) == ("*.example.hk", "example.hk")
    assert certificate_names(["a.example.hk", "b.example.hk"]) == ("a.example.hk", "b.example.hk")
