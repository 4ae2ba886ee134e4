"""Server names that an order can have: what is refused here is never sold."""

import pytest

from shared.pki.orderable import MAX_NAMES, NotOrderable, can_be_ordered, check_names
from shared.vocabulary import Product

S, W, M = Product.STANDARD, Product.WILDCARD, Product.MULTI_DOMAIN


@pytest.mark.parametrize(
    ("product", "names"),
    [
        (S, ["www.example.com.hk"]),
        (S, ["xn--czrs0t.example.hk"]),
        (W, ["*.example.com.hk"]),
        (M, ["a.example.hk"]),
        (M, [f"n{n}.example.hk" for n in range(MAX_NAMES)]),
    ],
)
def test_orderable_names_are_accepted(product: Product, names: list[str]) -> None:
    check_names(product, names)
    assert can_be_ordered(product, names)


NEVER = [
    (W, ["*.com.hk"], "name-is-public-suffix"),
    (S, ["com.hk"], "name-is-public-suffix"),
    (S, ["10.0.0.1"], "name-is-ip-address"),
    (S, ["203.0.113.7"], "name-is-ip-address"),
    (S, ["2001:db8::1"], "name-is-ip-address"),
    (S, ["mail.office.local"], "name-internal-or-reserved"),
    (S, ["intranet"], "name-internal-or-reserved"),
    (S, ["a.corp"], "name-internal-or-reserved"),
    (S, ["www.nosuchtld"], "name-internal-or-reserved"),
    (S, ["7.113.0.203.in-addr.arpa"], "name-in-reverse-zone"),
    (S, ["a" * 64 + ".example.hk"], "name-not-letters-digits-hyphen"),
    (S, [".".join(["a" * 60] * 5) + ".hk"], "name-too-long"),
    (S, ["my_host.example.hk"], "name-underscore"),
    (S, ["-www.example.hk"], "name-not-letters-digits-hyphen"),
    (S, ["www.example.hk."], "name-trailing-dot"),
    (S, ["www.*.example.hk"], "name-wildcard-misplaced"),
    (S, ["xn--zzzzzzzz99999.example.hk"], "name-bad-internationalised-label"),
    (S, [""], "name-empty"),
    (S, ["a\x00b.example.hk"], "name-not-letters-digits-hyphen"),
    (S, ["WWW.example.hk"], "names-not-as-certified"),
    (S, ["商店.example.hk"], "names-not-as-certified"),
    (S, ["www.example。hk"], "names-not-as-certified"),
    (S, [], "names-too-many-or-none"),
    (S, ["a.example.hk", "b.example.hk"], "names-too-many-or-none"),
    (M, [f"n{n}.example.hk" for n in range(MAX_NAMES + 1)], "names-too-many-or-none"),
    (M, ["a.example.hk", "a.example.hk"], "names-repeated"),
    (M, ["a.example.hk", "*.example.hk"], "names-do-not-fit-product"),
    (S, ["*.example.hk"], "names-do-not-fit-product"),
    (W, ["www.example.hk"], "names-do-not-fit-product"),
]


@pytest.mark.parametrize(("product", "names", "reason"), NEVER, ids=[f"{p}-{n[:1]}"[:40] for p, n, _ in NEVER])
def test_unorderable_names_are_refused(product: Product, names: list[str], reason: str) -> None:
    with pytest.raises(NotOrderable) as refused:
        check_names(product, names)
    assert refused.value.reason == reason
    assert not can_be_ordered(product, names)
