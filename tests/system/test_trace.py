"""Traces of one renewal: every leg from the submission to the certificate, each request's linked to the AR's own."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from devtools.scenario.target import Target
from tests.support.engines import wait_until
from tests.system.collector import Collector, Span

AR: Final = "AR"
# Leg → what it led to. `docs/trace.md` shows the same tree with its times.
LEGS: Final = {
    AR: {
        "identity-web: POST /identity/v1/attestations",
        "application-web: POST /application/v1/renewals/<uuid:renewal_id>/submission",
        "payment-web: POST /payment/v1/checkouts",
        "issuance-web: POST /issuance/v1/orders/<uuid:item_id>/csr",
    },
    "identity-web: POST /identity/v1/attestations": {"identity-relay: send signature-verified"},
    "application-web: POST /application/v1/renewals/<uuid:renewal_id>/submission": {
        "application-relay: send renewal-submitted",
        "payment-consume: process renewal-submitted",
    },
    "payment-consume: process renewal-submitted": {"payment-work: pursue payment"},
    "payment-work: pursue payment": {
        "payment-relay: send payment-captured",
        "application-consume: process payment-captured",
    },
    "application-consume: process payment-captured": {
        "application-relay: send csr-requested",
        "issuance-consume: process csr-requested",
        "mailing-consume: process csr-requested",
    },
    "issuance-consume: process csr-requested": {
        "issuance-relay: send order-opened",
        "application-consume: process order-opened",
        "issuance-work: seal PIN",
    },
    "issuance-work: seal PIN": {
        "issuance-relay: send pin-envelope-sealed",
        "mailing-consume: process pin-envelope-sealed",
    },
    "mailing-consume: process csr-requested": {"mailing-work: send e-mail"},
    "mailing-work: send e-mail": {
        "mailing-relay: send csr-request-sent",
        "application-consume: process csr-request-sent",
    },
    "mailing-consume: process pin-envelope-sealed": {"mailing-print: print PIN Envelope"},
    "mailing-consume: process renewal-completed": {"mailing-work: send e-mail"},
    "issuance-web: POST /issuance/v1/orders/<uuid:item_id>/csr": {
        "issuance-relay: send csr-received",
        "application-consume: process csr-received",
        "issuance-work: issue certificate",
    },
    "issuance-work: issue certificate": {
        "issuance-work: check, lint, store the intent",
        "issuance-work: sign",
        "issuance-relay: send certificate-issued",
        "application-consume: process certificate-issued",
    },
    "application-consume: process certificate-issued": {
        "application-relay: send renewal-completed",
        "mailing-consume: process renewal-completed",
    },
}


def test_one_trace_shows_every_leg_of_a_renewal(
    system: Target, collector: Collector, spare: Iterator[str], tmp_path: Path
) -> None:
    trace_id, own = secrets.token_hex(16), secrets.token_hex(8)
    journey = system.journey([next(spare)], tmp_path, traceparent=f"00-{trace_id}-{own}-01")
    journey.apply()
    journey.receive()
    journey.fulfil()
    journey.ar.close()

    def missing() -> dict[str, set[str]]:
        found = tree(spans_of(collector, trace_id))
        return {leg: lacking for leg, led_to in LEGS.items() if (lacking := led_to - found.get(leg, set()))}

    wait_until(lambda: not missing(), limit=30, what=f"{missing()} of trace {trace_id}")
    spans = spans_of(collector, trace_id)
    assert {span.parent_id for span in spans} <= {"", *(span.span_id for span in spans)}, "a span without its parent"
    batches = (span.name for each in {span.trace_id for span in spans} for span in collector.linked(each))
    assert "apply batch" in batches, "no batch links to the events in it"
    assert collector.spans(trace_id) == [], "a span in a trace that the client chose"


def spans_of(collector: Collector, trace_id: str) -> list[Span]:
    """Return the spans of every trace that a request of this client began."""
    begun = {span.trace_id for span in collector.linked(trace_id)}
    return [span for each in begun for span in collector.spans(each)]


def tree(spans: Sequence[Span]) -> dict[str, set[str]]:
    """Return leg → the legs it led to; events by their own names."""
    names = {"": AR, **{span.span_id: name(span) for span in spans}}
    found: dict[str, set[str]] = {}
    for span in spans:
        found.setdefault(names.get(span.parent_id, "nobody"), set()).add(names[span.span_id])
    return found


def name(span: Span) -> str:
    """Return `issuance-relay: send csr-received` for `send hk.ecert.issuance.csr-received.v1`."""
    verb, _, rest = span.name.partition(" hk.ecert.")
    return f"{span.process}: {verb} {rest.split('.')[1]}" if rest else f"{span.process}: {span.name}"
