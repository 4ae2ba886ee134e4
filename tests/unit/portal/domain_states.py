"""Pages about domain control in every state, as rows: name, address after the language, answers of the API, form."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from portal import domain_words
from tests.unit.portal.stub_api import ITEM, RENEWAL, domain, order, problem, proved, renewal

Row = tuple[str, str, Mapping[tuple[str, str], Any], Mapping[str, str] | None]

_R: Final = f"/renewals/{RENEWAL}"
_PAGE: Final = f"{_R}/domains"
_MOMENT: Final = "2026-11-23T02:00:00+00:00"
_LONG: Final = "warehouse-management-and-customs-clearance.hong-kong-island.harbourlights.example.com.hk"
NAMES: Final = ["mail.example.hk", "*.shop.example.hk", "shop.example.hk", "vpn.example.hk", _LONG]
FORBIDDEN: Final = {
    "server_name": "*.shop.example.hk",
    "kind": "caa",
    "reason": "caa-other-issuer",
    "record": 'shop.example.hk CAA 0 issuewild "letsencrypt.org"',
}
SEEN: Final = [
    {"kind": "txt", "outcome": "found", "reason": None, "values": ["v=spf1", "mfrggzdfmztwq2lknnwg23tpobyxe43v"]},
    {"kind": "cname", "outcome": "absent", "reason": None, "values": []},
    {"kind": "caa", "outcome": "found", "reason": None, "values": ['0 issuewild "letsencrypt.org"']},
    {"kind": "file", "outcome": "failed", "reason": "connection-failed", "values": []},
]


def query(names: list[str]) -> tuple[str, str]:
    """Return the request for the domains of these names, in which each wildcard has its base name after it."""
    every = dict.fromkeys(each for name in names for each in (name, name.removeprefix("*.")))
    return "GET", f"/issuance/v1/domains?{urlencode([('server_name', name) for name in every])}"


def having(names: list[str], found: Any, **changed: Any) -> dict[tuple[str, str], Any]:
    """Return the answers about a renewal of one certificate for these names."""
    made = renewal(**changed)
    made["items"][0] |= {"server_names": names, "state": changed.get("item", "pending")}
    return {
        ("GET", f"/application/v1{_R}"): made,
        query(names): found,
        ("POST", "/issuance/v1/domains"): found,
        ("GET", f"/issuance/v1{_R}/orders"): problem(404, "order-not-found"),
    }


def everything() -> list[dict[str, Any]]:
    """Return a domain in each state."""
    checked = {"checked_at": _MOMENT, "quorum": "0", "seen": SEEN}
    too_long = domain(domain=_LONG, **checked, reason="not-proved")
    too_long["instructions"] |= {"record_name": None}
    return [
        domain(domain="mail.example.hk", **checked, reason="another-value"),
        proved(
            domain="shop.example.hk", server_names=["*.shop.example.hk", "shop.example.hk"], seen=SEEN, caa=[FORBIDDEN]
        ),
        domain(domain="vpn.example.hk", state="checking", **checked | {"quorum": "3/5"}, reason="not-corroborated"),
        too_long,
    ]


def rows() -> Iterator[Row]:
    """Yield all of them."""
    yield "domains, not checked", _PAGE, having(NAMES, [domain(domain=name) for name in NAMES if "*" not in name]), None
    yield "domains, in every state", _PAGE, having(NAMES, everything()), None
    yield "domains, at rest", f"{_PAGE}?refresh=off", having(NAMES, everything()), None
    wildcard = domain(domain="shop.example.hk", server_names=["*.shop.example.hk"])
    yield "domains, wildcard", _PAGE, having(["*.shop.example.hk"], [wildcard]), None
    parent = proved(domain="mail.example.hk", proved_by="example.hk")
    yield "domains, proved with the parent", _PAGE, having(["mail.example.hk"], [parent]), None
    yield from _parents()
    yield "domains, unavailable", _PAGE, having(NAMES, None), None
    yield (
        "domains, too many",
        _PAGE,
        having(NAMES, []) | {("POST", "/issuance/v1/domains"): problem(409, "too-many-domains")},
        None,
    )
    yield from _reasons()
    yield from _elsewhere()


def under(parent: str, *names: str) -> list[dict[str, Any]]:
    """Return domains of which none is proved, all under this one."""
    return [domain(domain=name, parents=[] if name == parent else [parent]) for name in names]


def _parents() -> Iterator[Row]:
    names = ["mail.example.hk", "www.example.hk"]
    found, asked = under("example.hk", *names), ("GET", "/issuance/v1/domains?server_name=%2A.example.hk")
    for state, answer in (
        ("not begun", []),
        ("begun", [domain(domain="example.hk")]),
        ("checking", [domain(domain="example.hk", state="checking")]),
        ("not seen", [domain(domain="example.hk", checked_at=_MOMENT, quorum="0", reason="another-value", seen=SEEN)]),
    ):
        yield f"domains, parent {state}", _PAGE, having(names, found) | {asked: answer}, None
    below = [f"{name}.{_LONG}" for name in ("mail", "www")]
    asked = ("GET", f"/issuance/v1/domains?server_name=%2A.{_LONG}")
    yield "domains, parent with a long name", _PAGE, having(below, under(_LONG, *below)) | {asked: []}, None
    named = ["example.hk", *names]
    yield "domains, parent among them", _PAGE, having(named, under("example.hk", *named)), None


def _reasons() -> Iterator[Row]:
    names = [f"r{number:02}.example.hk" for number, _ in enumerate([*domain_words.REASONS, "new-reason"])]
    checked = {"checked_at": _MOMENT, "quorum": "0"}
    failed = [
        domain(domain=name, reason=reason, **checked)
        for name, reason in zip(names, [*domain_words.REASONS, "new-reason"], strict=True)
    ]
    yield "domains, every reason", _PAGE, having(names, failed), None
    yield "domains, every reason, next part", f"{_PAGE}?part=2", having(names, failed), None
    forbidden = [
        proved(domain=name, caa=[FORBIDDEN | {"server_name": name, "reason": reason}])
        for name, reason in zip(names, [*domain_words.REASONS, "new-reason"], strict=True)
    ]
    yield "domains, every reason of CAA", _PAGE, having(names, forbidden), None
    yield "domains, every reason of CAA, next part", f"{_PAGE}?part=2", having(names, forbidden), None


def _elsewhere() -> Iterator[Row]:
    """Yield the pages of the renewal and of a certificate that say how far the domains are."""
    found = everything()
    yield "draft, domains in every state", _R, having(NAMES, found), None
    yield (
        "draft, domain forbidden",
        _R,
        having(["shop.example.hk"], [proved(domain="shop.example.hk", caa=[FORBIDDEN])]),
        None,
    )
    yield "draft, domain proved", _R, having(["mail.example.hk"], [proved(domain="mail.example.hk")]), None
    yield "draft, one of two proved", _R, having(["a.hk", "b.hk"], [domain(domain="a.hk"), proved(domain="b.hk")]), None
    yield "draft, domains begun", _R, having(["b.hk"], []), None
    evidence = {"server_name": "", "kind": "evidence", "reason": "certifier-unknown", "record": None}
    missing = [
        FORBIDDEN,
        {"server_name": "mail.example.hk", "kind": "validation", "reason": "record-missing", "record": None},
        evidence,
    ]
    waiting = having(NAMES, found, state="awaiting-csrs", deadline="2027-02-23T02:00:00+00:00", item="csr-received")
    orders = [order(state="csr-received", server_names=NAMES, obstacles=missing)]
    waiting["GET", f"/issuance/v1{_R}/orders"] = orders
    yield "status, certificate waits", _R, waiting, None
    yield "order, waits", f"{_R}/orders/{ITEM}", waiting, None
