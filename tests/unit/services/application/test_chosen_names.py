"""No name can be paid for that issuance would refuse: whatever is typed, the draft refuses it or issuance takes it."""

import contextlib
from datetime import date, timedelta

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from services.application import submission
from services.application.domain import RenewalKind
from services.application.refusals import ServerNamesFixed, ServerNamesRefused
from services.application.submission import DraftItem
from services.application.subscription import Subscription
from services.mailing.domain import one_line
from shared.pki.names import certificate_names, covering_domains, server_name
from shared.pki.orderable import check_names
from shared.vocabulary import ARId, Product, SubscriberId
from tests.support.builders import NOW

# What people type, paste and mistype, and what others have sent us.
ODD = [
    *(
        "",
        " ",
        ".",
        "..",
        "*",
        "*.",
        "*.*",
        "-",
        "_",
        "a",
        "com",
        "hk",
        "com.hk",
        "*.com.hk",
        "example.hk.",
        ".example.hk",
    ),
    *("www..example.hk", "www.example.hk:443", "https://www.example.hk", "www.example.hk/", "user@example.hk"),
    *("WWW.Example.HK", "www.例子.hk", "www。例子．hk", "xn--fsqu00a.hk", "xn--a.hk", "xn--.hk", "faß.de", "ΣΑΣ.gr"),
    *("a" * 63 + ".example.hk", "a" * 64 + ".example.hk", ".".join(["a" * 60] * 4) + ".hk", ".".join(["a" * 60] * 5)),
    *("10.0.0.1", "::1", "[2001:db8::1]", "0x7f.1", "1", "256.1.1.1", "1.2.3.4.example.hk"),
    *("localhost", "server.local", "a.corp", "a.test", "b.invalid", "home.arpa", "1.10.in-addr.arpa", "a.onion"),
    *(
        "a_b.example.hk",
        "a b.example.hk",
        "a\tb.example.hk",
        "a\nb.example.hk",
        "a\x00b.example.hk",
        "a\u202eb.example.hk",
    ),
    *(
        "\ud800.example.hk",
        "é.example.hk",
        "e\u0301.example.hk",
        "𝐰𝐰𝐰.example.hk",
        "😀.example.hk",
        "ｗｗｗ.example.hk",
    ),
    *(
        "a--b.example.hk",
        "ab--c.example.hk",
        "-a.example.hk",
        "a-.example.hk",
        "www.example.hk\u200b",
        "\ufeffwww.example.hk",
    ),
    *("github.io", "a.github.io", "gov.hk", "www.gov.hk", "a.gov.hk", "*.a.gov.hk", "w*.example.hk", "www.*.hk"),
]
PRESENT = ("mail.example.hk", "vpn.example.hk")
SUBSCRIPTION = Subscription(
    srn="0002310003",
    subscriber_id=SubscriberId("sub-1"),
    subscriber_name="Example Limited",
    ar_id=ARId("ar-1"),
    ar_name="Chan",
    product=Product.MULTI_DOMAIN,
    server_names=PRESENT,
    additional_servers=0,
    standing="active",
    certificate="",
    serial="1",
    not_after=NOW + timedelta(days=45),
    paid_from=date(2026, 1, 8),
    paid_until=date(2027, 1, 7),
)


def chosen(names: list[str]) -> tuple[str, ...]:
    item = DraftItem(srn=SUBSCRIPTION.srn, additional_servers=None, server_names=tuple(names))
    return submission._names(RenewalKind.RENEWAL, SUBSCRIPTION, item)


def taken_by_all(names: tuple[str, ...]) -> None:
    """Assert that every later step takes these names as they are."""
    check_names(Product.MULTI_DOMAIN, names)  # issuance, when it opens the order
    x509.SubjectAlternativeName([x509.DNSName(name) for name in certificate_names(names)]).public_bytes()
    for name in names:
        assert server_name(name) == name
        assert covering_domains(name)[0] == name  # domain control
        assert one_line(name) == name  # e-mails and letters


@pytest.mark.parametrize("name", ODD, ids=[ascii(name)[:40] for name in ODD])
def test_odd_name_is_refused_or_taken_by_every_later_step(name: str) -> None:
    with contextlib.suppress(ServerNamesRefused):
        taken_by_all(chosen([name, "www.example.hk"]))


LABELS = st.text(st.characters(codec="utf-8"), min_size=0, max_size=20)
NAMES = st.one_of(
    st.sampled_from(ODD),
    st.lists(LABELS, min_size=1, max_size=5).map(".".join),
    st.text(max_size=300),
    st.from_regex(r"[a-z0-9-]{1,10}(\\.[a-z0-9-]{1,10}){0,3}\\.(hk|com|com\\.hk)", fullmatch=True),
)


@given(st.lists(NAMES, min_size=1, max_size=50))
@example(["a.example.hk"] * 2)
def test_any_list_of_names_is_refused_or_taken_by_every_later_step(names: list[str]) -> None:
    with contextlib.suppress(ServerNamesRefused):
        taken_by_all(chosen(names))


@pytest.mark.parametrize("kind", list(RenewalKind))
@pytest.mark.parametrize("product", [Product.STANDARD, Product.WILDCARD])
def test_names_of_other_products_are_never_changed(kind: RenewalKind, product: Product) -> None:
    subscription = Subscription(**vars(SUBSCRIPTION) | {"product": product, "server_names": ("a.example.hk",)})
    item = DraftItem(srn=subscription.srn, additional_servers=None, server_names=("b.example.hk",))
    with pytest.raises(ServerNamesFixed):
        submission._names(kind, subscription, item)


def test_names_are_spelt_as_in_certificates() -> None:
    assert chosen(["WWW.例子.hk"]) == ("www.xn--fsqu00a.hk",)
