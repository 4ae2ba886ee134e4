"""Views of domain control: begin to prove domains, see what was seen, have one looked at."""

from typing import Any, Final

from services.issuance import domain_control
from services.issuance.api.blueprint import Deps, blp
from services.issuance.domain_control import DomainState
from services.issuance.domain_evidence import DomainRules
from services.issuance.refusals import DomainNotFound, TooManyDomains
from services.issuance.schemas import DomainSchema, ServerNamesQuerySchema, ServerNamesSchema
from shared.pki.names import server_name
from shared.pki.observations import CAARecord, Kind
from shared.web import commands, request
from shared.web.openapi import refuses, signed_in

# Text that the AR compares with what they wrote; a stranger's zone may hold far more.
_MAX_SHOWN: Final = 5
_MAX_SHOWN_TEXT: Final = 300


@blp.post("/domains")
@signed_in
@refuses(TooManyDomains)
@commands.in_one_transaction
@blp.arguments(ServerNamesSchema)
@blp.response(200, DomainSchema(many=True))
def begin_domains(server_names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Give each domain of these server names a random value, or return the one it has.

    Free of charge and without any order: it may be proved before the application is signed. A wildcard's base name that
    is proved covers all names below it: `*.example.hk` begins a parent of `www.example.hk`, whether certified or not.
    """
    tx = commands.tx()
    caller = request.caller()
    subscriber_id = caller.subscriber_id
    domain_control.begin_own(tx, server_names, caller)
    rules = request.deps(Deps).domain_rules
    found = domain_control.find_states(tx.conn, subscriber_id, server_names, tx.now, rules)
    return [_shown(state, rules) for state in found]


@blp.get("/domains")
@signed_in
@blp.arguments(ServerNamesQuerySchema, location="query")
@blp.response(200, DomainSchema(many=True))
def list_domains(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the domains of these server names that were begun, with what was seen last."""
    names = tuple(map(server_name, query["server_name"]))
    caller = request.caller()
    with request.transaction() as tx:
        rules = request.deps(Deps).domain_rules
        found = domain_control.find_states(tx.conn, caller.subscriber_id, names, tx.now, rules)
    return [_shown(state, rules) for state in found]


@blp.post("/domains/<domain>/checks")
@signed_in
@refuses(DomainNotFound)
@commands.in_one_transaction
@blp.response(202, DomainSchema)
def check_domain(domain: str) -> dict[str, Any]:
    """Have all perspectives look at the domain now; its state is `checking` until they have."""
    tx, caller = commands.tx(), request.caller()
    domain_control.check_now(tx, domain, caller)
    rules = request.deps(Deps).domain_rules
    [state] = domain_control.find_states(tx.conn, caller.subscriber_id, [domain], tx.now, rules)
    return _shown(state, rules)


def _shown(state: DomainState, rules: DomainRules) -> dict[str, Any]:
    control, proof, last = state.control, state.proof, state.last
    return {
        "domain": control.domain,
        "server_names": state.server_names,
        "parents": state.parents,
        "state": state.state,
        "value_until": state.value_until,
        "instructions": state.instructions,
        "proved_at": None if proof is None else proof.proved_at,
        "proved_by": None if proof is None else proof.domain,
        "reusable_until": state.reusable_until,
        "checked_at": None if last is None else last.checked_at,
        "reason": None if last is None else last.reason,
        "quorum": None if last is None else last.quorum,
        "seen": _seen(state),
        "caa": state.caa,
        "issuer_domain": rules.issuer_domains[0],
    }


def _seen(state: DomainState) -> list[dict[str, Any]]:
    found = [] if state.seen is None else [state.seen.seen(kind) for kind in Kind]
    return [
        {
            "kind": each.kind.value,
            "outcome": each.outcome.value,
            "reason": None if each.reason is None else each.reason.value,
            "values": [text[:_MAX_SHOWN_TEXT] for text in (*each.values, *map(_text, each.records))][:_MAX_SHOWN],
        }
        for each in found
        if each is not None
    ]


def _text(record: CAARecord) -> str:
    return f'{record.flags} {record.tag} "{record.value}"'
