"""CSR of one certificate: checked as often as wanted, also before the PINs arrive; then submitted with the PINs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import csr_guides, csr_text, messages, pin_list, refusals, session, web
from portal.languages import gettext
from portal.pages import orders
from portal.pin_list import ListRefused
from portal.web import FormError, check_form, signed_in
from shared.web.https_client import APIProblem

blp: Final = flask.Blueprint(
    "csrs", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>/orders/<uuid:item_id>"
)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A checked CSR: `checked` is issuance's answer, `names` compares its names with the order's."""

    checked: dict[str, Any]
    names: tuple[tuple[str, str], ...]
    same_key: bool


@blp.route("/csr", methods=["GET", "POST"])
@signed_in
def form(renewal_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    """Show the form for a CSR and what the CSR contains; submit a valid CSR with the PINs once the order is open."""
    order = orders.load(renewal_id, item_id)
    if order["state"] not in orders.CSR_WANTED:
        return web.redirect("orders.overview", renewal_id=renewal_id, item_id=item_id)
    if flask.request.method == "GET":
        if "fresh" in flask.request.args:
            session.current().kept = None
        typed = web.kept()
        return _try(order, typed) if typed.get("csr") else _show_form(order, typed)
    check_form()
    web.keep_form()
    typed = flask.request.form.to_dict() | {"csr": csr_text.given()}
    if not typed["csr"].strip():
        return _show_form(order, typed, FormError(gettext("Paste your CSR or select its file"), "csr"))
    return _send(order, typed) if "reference" in typed else _try(order, typed)


def _show_form(order: dict[str, Any], typed: Mapping[str, str], *errors: FormError, **more: Any) -> flask.Response:
    guides = csr_guides.guides(order)
    return web.show("csr.html", order=order, typed=typed, guides=guides, errors=errors, **more)


def _try(order: dict[str, Any], typed: Mapping[str, str], *errors: FormError, filled: bool = False) -> flask.Response:
    """Return the page with the content of the CSR; with the form for the PINs if the CSR is valid."""
    tried = _tried(order, typed["csr"])
    refusal = tried.checked["refusal"]
    if refusal == "private-key-pasted":
        session.current().kept = None
        typed = {}
    if refusal is not None:
        text = refusals.translated(APIProblem(422, {"type": refusal, "reason": tried.checked["reason"]}))
        return _show_form(order, typed, FormError(text, "csr"), tried=tried)
    return web.show("csr_send.html", order=order, typed=typed, tried=tried, errors=errors, filled=filled)


def _tried(order: dict[str, Any], csr: str) -> Tried:
    is_open = order["state"] == "awaiting-csr"
    subject = {"item_id": order["item_id"]} if is_open else {"server_names": order["server_names"]}
    checked = web.post("/issuance/v1/csr-checks", subject | {"csr": csr}).json()
    sides = {difference["server_name"]: difference["kind"] for difference in checked["differences"]}
    ordered, asked = checked["certificate_names"], checked["names"]
    names = [(name, sides.get(name) or _side(name, order["server_names"])) for name in ordered]
    names += [(name, "surplus") for name in asked if sides.get(name) == "surplus" and name not in ordered]
    current = {s["srn"]: s["key_sha256"] for s in web.get("/application/v1/subscriptions").json()}
    same_key = checked["spki_sha256"] is not None and checked["spki_sha256"] == current.get(order["srn"])
    return Tried(checked=checked, names=tuple(names), same_key=same_key)


def _side(name: str, server_names: list[str]) -> str:
    """Return `same`, or `added` for the base name that a wildcard implies."""
    return "same" if name in server_names else "added"


def _send(order: dict[str, Any], typed: dict[str, str]) -> Response:
    """Submit the CSR with reference number and PINs. A refusal keeps all input except the wrong PINs."""
    names, overview = order["server_names"], {name: order[name] for name in ("renewal_id", "item_id")}
    wanted = [] if order["reissue"] else names
    try:
        typed, checking = _take_list(typed, wanted)
    except ListRefused as refused:
        return _try(order, typed, FormError(messages.pin_list_fault(refused, len(wanted)), "pin-list"))
    if checking:
        return _try(order, typed, filled=True)
    pins = {name: typed.get(f"pin-{number}", "").strip() for number, name in enumerate(wanted, start=1)}
    if errors := _missing(typed["reference"], pins):
        return _try(order, typed, *errors)
    body = {"reference": typed["reference"].strip(), "pins": pins, "csr": typed["csr"]}
    try:
        web.post(f"/issuance/v1/orders/{order['item_id']}/csr", body)
    except APIProblem as problem:
        if problem.status in (401, 404):
            raise
        errors = _refused(problem, names)
        order = orders.load(uuid.UUID(order["renewal_id"]), uuid.UUID(order["item_id"]))
        if order["state"] in orders.CSR_WANTED:
            wrong = {error.field for error in errors if error.field.startswith("pin-")}
            return _try(order, {name: text for name, text in typed.items() if name not in wrong}, *errors)
    session.current().kept = None
    return web.redirect("orders.overview", **overview)


def _take_list(typed: dict[str, str], names: list[str]) -> tuple[dict[str, str], bool]:
    """Return the input with the pasted PINs beside their names, and whether the AR has to check them first.

    PINs without names are never sent before the AR has seen them beside the names. Raises ListRefused.
    """
    if not typed.get("pin-list", "").strip():
        return typed, False
    pasted = pin_list.read(typed["pin-list"], names)
    fields = {f"pin-{number}": pasted.pins[name] for number, name in enumerate(names, start=1) if name in pasted.pins}
    return typed | fields | {"pin-list": ""}, not pasted.named


def _missing(reference: str, pins: Mapping[str, str]) -> list[FormError]:
    errors = []
    if not reference.strip():
        errors.append(FormError(gettext("Enter the reference number that the PIN Envelope shows"), "reference"))
    for number, (name, pin) in enumerate(pins.items(), start=1):
        if not pin:
            text = gettext("Enter the PIN from the PIN Envelope of %(name)s")
            errors.append(FormError(text % {"name": name}, f"pin-{number}"))
    return errors


def _refused(problem: APIProblem, server_names: list[str]) -> list[FormError]:
    """Return the errors of a refusal, each beside its control."""
    text = refusals.translated(problem)
    if problem.slug == "wrong-reference":
        return [FormError(text, "reference")]
    fields = {name: f"pin-{number}" for number, name in enumerate(server_names, start=1)}
    wrong = {each["server_name"]: _wrong_pin(each) for each in problem.document.get("wrong", [])}
    others = [*problem.document.get("locked", []), *problem.document.get("mistyped", [])]
    found = wrong | {name: f"{name}: {text}" for name in others}
    errors = [FormError(said, fields[name]) for name, said in found.items() if name in fields]
    return errors or [FormError(text, "pin-1" if problem.slug.startswith("pin") else "send")]


def _wrong_pin(wrong: Mapping[str, Any]) -> str:
    text = gettext(
        "The PIN of %(name)s is wrong: check that it stands beside its own server name. Tries left: %(number)s"
    )
    return text % {"name": wrong["server_name"], "number": wrong["tries_left"]}
