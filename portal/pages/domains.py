"""Domain control: for each domain of a renewal the record to publish, what the CA saw of it, and a check on request."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from portal import domains, parent_domains, web
from portal.pages import renewals
from portal.parent_domains import is_parent
from portal.web import check_form, signed_in

blp: Final = flask.Blueprint("domains", __name__, url_prefix="/<edition:edition>/renewals/<uuid:renewal_id>/domains")
# Domains on one page, and so the checks that one form asks for: the gateway's limit allows them at once.
MAX_SHOWN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the list of domains: its number and the last one's."""

    number: int
    last: int
    domains: Sequence[Mapping[str, Any]]

    @property
    def open(self) -> list[str]:
        """The domains of which a check may change something."""
        return [each["domain"] for each in self.domains if each["state"] == "open" or each["caa"]]


@blp.get("")
@signed_in
def overview(renewal_id: uuid.UUID) -> Response:
    """Return the page; it gives each domain its random value, and reloads itself while a domain is being checked."""
    renewal = renewals.load(renewal_id)
    names = domains.names_of(renewal)
    if not names:
        return web.redirect("renewals.overview", renewal_id=renewal_id)
    found = domains.begin(names)
    control = domains.control(names, found)
    part = _part(found)
    parents = parent_domains.find(found) if part.number == 1 else []
    is_checking = control.checking or any(each.checking for each in parents)
    show = web.show_waiting if is_checking else web.show
    return show(
        "domains.html",
        renewal=renewal,
        control=control,
        part=part,
        parents=parents,
        is_checking=is_checking,
        part_of=partial(_part_of, found),
    )


@blp.post("")
@signed_in
def check(renewal_id: uuid.UUID) -> Response:
    """Have the chosen domains looked at now, or begin the chosen parent."""
    check_form()
    names = domains.names_of(renewals.load(renewal_id))
    known = {domains.domain_of(name) for name in names}
    chosen = {each for each in flask.request.form.getlist("domain") if each in known or is_parent(each, names)}
    for domain in sorted(chosen)[:MAX_SHOWN]:
        domains.ask_check(domain)
    if is_parent(parent := flask.request.form.get("parent", ""), names):
        parent_domains.begin(parent)
    part = {"part": _number()} if _number() > 1 else {}
    return web.redirect("domains.overview", renewal_id=renewal_id, **part)


def _part(found: Sequence[Mapping[str, Any]]) -> Part:
    last = max(1, -(-len(found) // MAX_SHOWN))
    number = min(_number(), last)
    return Part(number=number, last=last, domains=found[(number - 1) * MAX_SHOWN : number * MAX_SHOWN])


def _part_of(found: Sequence[Mapping[str, Any]], domain: str) -> int:
    """Return the number of the part that has this domain."""
    return [each["domain"] for each in found].index(domain) // MAX_SHOWN + 1


def _number() -> int:
    """Return the part that the address names."""
    return max(1, flask.request.args.get("part", 1, type=int))
