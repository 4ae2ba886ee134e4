"""Every page in every state a reader may see it in, made by heart: for the tests that look at all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from werkzeug.test import TestResponse

from portal import messages
from tests.unit.portal import domain_states, reissue_states, revocation_states
from tests.unit.portal.stub_api import (
    CERTIFICATE,
    ITEM,
    NEW_PINS,
    PORTAL,
    RENEWAL,
    browser,
    checked,
    full_api,
    order,
    portal,
    problem,
    quote,
    renewal,
    report,
    signed_in,
    subscription,
)

EDITIONS: Final = ("en", "zh-hant", "zh-hans", "en/text", "zh-hant/text", "zh-hans/text")
Answers = Mapping[tuple[str, str], Any]

_R: Final = f"/renewals/{RENEWAL}"
_ORDER: Final = f"{_R}/orders/{ITEM}"
_OTHER: Final = "7c1f1d0e-6a0b-4a39-9a3b-0e5f4c2f7a12"
_THIRD: Final = "7c1f1d0e-6a0b-4a39-9a3b-0e5f4c2f7a13"
# As long as people's names of servers get: nothing on a page may be wider than the reader's window for it.
_LONG: Final = "warehouse-management-and-customs-clearance.hong-kong-island.harbourlights.example.com.hk"
_NAMES: Final = ["mail.harbourlights.example.hk", "vpn.harbourlights.example.hk", _LONG]
_MOMENT: Final = "2026-11-23T02:00:00+00:00"


@dataclass(frozen=True, kw_only=True)
class State:
    """A page's address after the language, and what the API answers then. With a form, what comes of sending it."""

    name: str
    path: str
    answers: Answers = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    session: Mapping[str, Any] | None = field(default_factory=dict)

    def show(self, edition: str) -> TestResponse:
        """Return the page, after any redirect to another one of ours."""
        api = full_api()
        api.answers.update(self.answers)
        app = portal(api)
        client = browser(app) if self.session is None else signed_in(app, **self.session)
        address = f"/{edition}{self.path}"
        if self.form is None:
            return client.get(address, base_url=PORTAL, follow_redirects=True)
        form = {"csrf": "the-form-token", **self.form}
        return client.post(address, data=form, base_url=PORTAL, follow_redirects=True)


def states() -> list[State]:
    """Return all of them."""
    return [
        *_public(),
        *_signing_in(),
        *_testing(),
        *_before(),
        *_paying(),
        *_status(),
        *_csrs(),
        *_pins(),
        *_orders(),
        *_domains(),
        *_errors(),
    ]


def _public() -> list[State]:
    paths = ["/", "/help", "/contact", "/sitemap", "/accessibility", "/privacy", "/terms"]
    return [
        *(State(name=f"public {path}", path=path, session=None) for path in paths),
        State(name="start, signed in", path="/"),
        State(name="start, signed out", path="/?signed=out", session=None),
    ]


def _signing_in() -> list[State]:
    problems = ["session-ended", "client-certificate-missing", "certificate-revoked"]
    return [
        State(name="sign in", path="/sign-in", session=None),
        *(State(name=f"sign in, {each}", path=f"/sign-in?problem={each}", session=None) for each in problems),
        State(name="show the e-Cert again, refused", path=_again("/sign-in", problem="client-certificate-missing")),
        State(name="show the e-Cert file again", path=_again("/sign-in/file")),
        State(name="sign in with a file", path="/sign-in/file", session=None),
        State(
            name="sign in with a file, refused",
            path="/sign-in/file",
            form={"challenge_id": ITEM, "signature-base64": "MA=="},
            answers={("POST", "/identity/v1/challenge-tokens"): problem(403, "certificate-revoked")},
        ),
    ]


def _again(path: str, **query: str) -> str:
    """Return address a sign-in page that proves who pays for the renewal."""
    return f"{path}?{urlencode({'next': f'/en{_R}/payment/checkout', 'renewal_id': RENEWAL, **query})}"


def _testing() -> list[State]:
    """Return what was found stands in the session."""
    faults = {"validity": "certificate-expired", "kind": "certificate-personal", "revocation": "revocation-unknown"}
    found = {
        "ready": report(),
        "with faults": report(**faults),
        "of another CA": report(issuer="certificate-untrusted"),
    }
    found["of another CA"]["findings"][4]["made"] = False
    refused = {("POST", "/identity/v1/challenge-tests"): problem(422, "signature-refused")}
    return [
        State(name="test", path="/test-e-cert", session=None),
        State(name="test, nothing shown", path="/test-e-cert?problem=client-certificate-missing", session=None),
        State(name="test of a file", path="/test-e-cert/file"),
        State(
            name="test of a file, refused",
            path="/test-e-cert/file",
            form={"challenge_id": ITEM, "signature-base64": "MA=="},
            answers=refused,
        ),
        *(
            State(
                name=f"test, {name}",
                path="/test-e-cert/result",
                session={"kept": {"path": "/test-e-cert/result", "fields": {"report": json.dumps(made)}}},
            )
            for name, made in found.items()
        ),
    ]


def _many_subscriptions() -> list[dict[str, Any]]:
    wildcard = {"product": "wildcard", "server_names": ["*.shop.harbourlights.example.hk"], "additional_servers": 2}
    reasons = ["ar-changed", "expired", "suspended", "revoked", "being-renewed"]
    return [
        subscription(),
        subscription(srn="0002310002", **wildcard),
        subscription(srn="0002310003", product="multi-domain", server_names=_NAMES, late=True, slack_days=-3),
        subscription(srn="0002310004", reason="too-early"),
        *(subscription(srn=f"000231001{n}", reason=reason) for n, reason in enumerate(reasons)),
    ]


def _three_items(**changed: Any) -> dict[str, Any]:
    made = renewal(**changed)
    (item,) = made["items"]
    wildcard = {"product": "wildcard", "server_names": ["*.shop.harbourlights.example.hk"], "additional_servers": 3}
    servers = {"amount_minor": 969_000, "quote": quote(826_500, "additional-servers", 3, 47_500)}
    names = {"amount_minor": 500_000, "quote": quote(250_000, "additional-names", 2, 125_000)}
    made["items"] = [
        item,
        {**item, "id": _OTHER, "srn": "0002310002", "reference": "R-7KQ2-M8XD-2", **wildcard, **servers},
        {**item, "id": _THIRD, "srn": "0002310003", "product": "multi-domain", "server_names": _NAMES, **names},
    ]
    return made


def _before() -> list[State]:
    subscriptions = ("GET", "/application/v1/subscriptions")
    many: Answers = {subscriptions: _many_subscriptions()}
    renewals = [renewal(state=state) for state in messages.STATES]
    draft: Answers = {**many, ("GET", f"/application/v1{_R}"): _three_items()}
    chosen = "/certificates/renewal?srn=0002310001&srn=0002310002&srn=0002310003"
    refused = {("POST", "/application/v1/renewals"): problem(409, "not-eligible", srn="0002310001", reason="revoked")}
    unsigned = {("POST", "/identity/v1/attestations"): problem(422, "signature-refused")}
    cancel_refused = {("POST", f"/application/v1{_R}/cancellation"): problem(409, "not-in-this-state")}
    return [
        State(
            name="certificates", path="/certificates", answers={**many, ("GET", "/application/v1/renewals"): renewals}
        ),
        State(name="certificates, none", path="/certificates", answers={subscriptions: []}),
        State(name="certificates, none chosen", path="/certificates?none=1", answers=many),
        State(name="choice", path=chosen, answers=many),
        State(name="choice, mistyped", path=chosen, answers=many, form={"servers-0002310002": "many"}),
        State(name="choice, refused", path=chosen, answers={**many, **refused}, form={"servers-0002310002": "1"}),
        State(name="draft", path=_R, answers=draft),
        State(name="answers", path=f"{_R}/check", answers=draft),
        State(name="sign", path=f"{_R}/sign", answers=draft),
        State(name="sign, nothing chosen", path=f"{_R}/sign", answers=draft, form={}),
        State(
            name="sign, refused", path=f"{_R}/sign", answers={**draft, **unsigned}, form={"signature-base64": "MA=="}
        ),
        State(name="cancel", path=f"{_R}/cancel", answers=draft),
        State(name="cancel, refused", path=f"{_R}/cancel", answers={**draft, **cancel_refused}, form={}),
    ]


def _paying() -> list[State]:
    unpaid: Answers = {("GET", f"/application/v1{_R}"): _three_items(state="awaiting-payment", deadline=_MOMENT)}
    not_ready = problem(409, "payment-not-ready")
    proved = {"paying": RENEWAL, "authorisation": "proof"}
    waiting = {**unpaid, ("POST", "/payment/v1/checkouts"): not_ready}
    paid: Answers = {("GET", f"/application/v1{_R}"): renewal(state="awaiting-csrs")}
    no_receipt = {("GET", f"/payment/v1/payments/{RENEWAL}/receipt"): problem(409, "no-receipt-yet")}
    return [
        State(name="pay", path=f"{_R}/payment", answers=unpaid),
        State(
            name="pay, not opened",
            path=f"{_R}/payment",
            answers={**unpaid, ("GET", f"/payment/v1/payments/{RENEWAL}"): not_ready},
        ),
        State(name="pay, signed in with a file", path=f"{_R}/payment", answers=unpaid, session={"with_file": True}),
        State(name="payment page is open", path=f"{_R}/payment/checkout", answers=unpaid, session=proved),
        State(name="payment page opens", path=f"{_R}/payment/checkout", answers=waiting, session=proved),
        State(name="payment awaited", path=f"{_R}/payment/returned", answers=unpaid),
        State(name="payment awaited, at rest", path=f"{_R}/payment/returned?refresh=off", answers=unpaid),
        State(name="receipt", path=f"{_R}/payment/receipt", answers=paid),
        State(name="receipt, none yet", path=f"{_R}/payment/receipt", answers={**paid, **no_receipt}),
    ]


def _status() -> list[State]:
    # Two that people need not tell apart have one name, and one page.
    told_apart = {name: state for state, name in messages.STATES.items()}.values()
    details: dict[str, dict[str, Any]] = {
        "pin-envelope-posted": {
            "server_name": "www.harbourlights.example.hk",
            "registered_number": "RR123456785HK",
        },
        "certificate-issued": {"serial": "0a1b2c"},
        "refunded": {"amount_minor": 250_000},
        "expired": {"reason": "not-paid"},
    }
    course = [
        {"time": _MOMENT, "event": event, "item_id": ITEM, "detail": None} | details.get(event, {})
        for event in messages.COURSE
    ]
    refunds = [
        {"id": ITEM, "item_id": None, "amount_minor": 250_000, "refunded_at": _MOMENT},
        {"id": _OTHER, "item_id": None, "amount_minor": 826_500, "refunded_at": None},
    ]
    orders = [
        order(),
        order(item_id=_OTHER, state="issued", certificate=CERTIFICATE),
        order(item_id=_THIRD, state="refused"),
    ]
    return [
        State(
            name=f"status, {state}",
            path=_R,
            answers={
                ("GET", f"/application/v1{_R}"): _three_items(
                    state=state,
                    timeline=course,
                    deadline=_MOMENT,
                    submitted_at=_MOMENT,
                    refunds=refunds if state in ("cancelled", "completed") else [],
                    ending="cancelled" if state in ("cancelled", "closing-checkout") else None,
                ),
                ("GET", f"/issuance/v1{_R}/orders"): orders if state in ("awaiting-csrs", "completed") else [],
            },
        )
        for state in told_apart
        if state != "draft"
    ] + [
        State(
            name="acknowledgement",
            path=f"{_R}/acknowledgement",
            answers={("GET", f"/application/v1{_R}"): _three_items(state="awaiting-payment", submitted_at=_MOMENT)},
        ),
        State(
            name="status, PIN Envelope came back, too late",
            path=_R,
            answers={
                ("GET", f"/application/v1{_R}"): _three_items(
                    state="awaiting-csrs",
                    slack_days=-2,
                    timeline=[
                        {
                            "time": _MOMENT,
                            "event": "pin-envelope-returned",
                            "item_id": ITEM,
                            "detail": "unclaimed",
                            "reason": "unclaimed",
                        }
                    ],
                ),
                ("GET", f"/issuance/v1{_R}/orders"): orders,
            },
        ),
    ]


def _having(**changed: Any) -> Answers:
    return {("GET", f"/issuance/v1{_R}/orders"): [order(**changed)]}


def _csrs() -> list[State]:
    three = _having(server_names=_NAMES, product="multi-domain")
    path, check, send = f"{_ORDER}/csr", ("POST", "/issuance/v1/csr-checks"), f"/issuance/v1/orders/{ITEM}/csr"
    good = checked(names=_NAMES, certificate_names=_NAMES)
    other = checked(
        refusal="csr-names-differ",
        names=["old.example.hk"],
        certificate_names=_NAMES,
        differences=[{"server_name": "old.example.hk", "kind": "surplus"}, {"server_name": _LONG, "kind": "missing"}],
    )
    secret = checked(refusal="private-key-pasted", csr_sha256=None, spki_sha256=None, names=[])
    csr = {"csr": "-----BEGIN"}
    sent = csr | {"reference": "R-1", **{f"pin-{n}": "1234 5678 9012 3456" for n in (1, 2, 3)}}
    wrong = problem(403, "pin-wrong", wrong=[{"server_name": _LONG, "tries_left": 3}])

    def pasted(pins: str) -> Mapping[str, str]:
        return csr | {"reference": "R-1", "pin-list": pins.replace(" ", "\n")}

    not_open = {("GET", f"/issuance/v1{_R}/orders"): problem(404, "order-not-found")}
    return [
        State(name="CSR", path=path, answers=three),
        State(name="CSR, the last one set aside", path=path, answers=_having(refusal="caa-forbids")),
        State(name="CSR before the order", path=path, answers=not_open),
        State(name="CSR, none", path=path, answers=three, form={"csr": ""}),
        State(name="CSR of other names", path=path, answers={**three, check: other}, form=csr),
        State(name="CSR, private key", path=path, answers={**three, check: secret}, form=csr),
        State(name="CSR, good", path=path, answers={**three, check: good}, form=csr),
        State(name="CSR, key in use", path=path, answers={check: checked(spki_sha256="01" * 32)}, form=csr),
        State(name="CSR, good before the order", path=path, answers=not_open, form=csr),
        State(name="CSR, PINs pasted", path=path, answers={**three, check: good}, form=pasted("1 2 3")),
        State(name="CSR, list refused", path=path, answers={**three, check: good}, form=pasted("1 2")),
        State(name="CSR, no PIN", path=path, answers={**three, check: good}, form=csr | {"reference": ""}),
        State(name="CSR, wrong PIN", path=path, answers={**three, check: good, ("POST", send): wrong}, form=sent),
    ]


def _pins() -> list[State]:
    kinds = (("sealed", 5, 3), ("locked", 0, 2), ("planned", 5, 0))
    pins = [
        {"server_name": name, "state": state, "tries_left": tries, **NEW_PINS, "new_pins_left": left}
        for name, (state, tries, left) in zip(_NAMES, kinds, strict=True)
    ]
    three, path, post = _having(server_names=_NAMES, pins=pins), f"{_ORDER}/pins", f"/issuance/v1/orders/{ITEM}/pins"
    recent = problem(409, "pin-too-recent", too_recent=[{"server_name": _LONG, "possible_from": _MOMENT}])
    used_up = problem(409, "pins-used-up", used_up=[_LONG])
    form = {"name": _LONG, "reason": "lost"}
    return [
        State(name="new PIN Envelope", path=path, answers=_having()),
        State(name="new PIN Envelope, three names", path=path, answers=three),
        State(name="new PIN Envelope, nothing chosen", path=path, answers=three, form={}),
        State(name="new PIN Envelope, too recent", path=path, answers={**three, ("POST", post): recent}, form=form),
        State(name="new PIN Envelope, used up", path=path, answers={**three, ("POST", post): used_up}, form=form),
        State(name="new PIN Envelope, ordered", path=path, answers={**three, ("POST", post): order()}, form=form),
    ]


def _orders() -> list[State]:
    ended = {"revoked_at": _MOMENT, "revocation_reason": "privilegeWithdrawn"}
    revoked = {**CERTIFICATE, "accepted_at": _MOMENT, **ended}
    ends: list[tuple[str, Mapping[str, Any] | None]] = [
        ("csr-received", None),
        ("issued", CERTIFICATE),
        ("accepted", {**CERTIFICATE, "accepted_at": _MOMENT}),
        ("accepted", revoked),
        ("refused", None),
        ("withheld", None),
    ]
    return [
        *(
            State(
                name=f"order, {state} {n}",
                path=_ORDER,
                answers=_having(state=state, certificate=made, server_names=_NAMES),
            )
            for n, (state, made) in enumerate(ends)
        ),
        State(name="order at rest", path=f"{_ORDER}?refresh=off", answers=_having(state="issuing")),
    ]


def _domains() -> list[State]:
    rows = (*domain_states.rows(), *reissue_states.rows(), *revocation_states.rows())
    return [State(name=name, path=path, answers=answers, form=form) for name, path, answers, form in rows]


def _errors() -> list[State]:
    def renewal_is(answer: Any) -> Answers:
        return {("GET", f"/application/v1{_R}"): answer}

    return [
        State(name="no such page", path="/nowhere"),
        State(name="no such renewal", path=_R, answers=renewal_is(problem(404, "renewal-not-found"))),
        State(name="cannot be done", path=_R, answers=renewal_is(problem(409, "payment-held"))),
        State(name="API away", path=_R, answers=renewal_is(None)),
        State(name="fault of ours", path=_R, answers=renewal_is({"state": "draft"})),
        State(name="form of another session", path=f"{_R}/cancel", form={"csrf": "old"}),
        State(name="signed out", path=_R, session=None),
    ]
