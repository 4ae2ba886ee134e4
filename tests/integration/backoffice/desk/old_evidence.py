"""identity beside the desk, with a subscriber and an AR whose evidence is about to lapse."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from services.identity import enrolment
from services.identity.domain import RegisterEvidence
from services.identity.operator_api import OPERATIONS
from shared.db import Pool
from tests.integration.backoffice.desk.world import operating
from tests.support.builders import NOW

OLD: Final = RegisterEvidence(verified_at=NOW - timedelta(days=390), source="Companies Registry", checker="Officer 1")
# What a member of staff enters at the desk about the new verification.
FORM: Final = {
    "on-day": "20",
    "on-month": "11",
    "on-year": "2026",
    "source": "Extract",
    "checker": "KWOK",
    "reason": "soon",
}
PAGE: Final = "/evidence/organisation/harbour"


@contextmanager
def operated(pool: Pool, sockets: Path) -> Iterator[None]:
    """Enrol them in identity's database, and answer the desk from it until the block ends."""
    person = {
        "id": "chan",
        "name": "CHAN Mei Ling 陳美玲",
        "name_zh": None,
        "email": "chan@example.hk",
        "address": ["1 Example Road"],
        "evidence": OLD,
    }
    subscriber = {
        "id": "harbour",
        "name": "Harbour Lights Trading Limited",
        "name_zh": None,
        "brn": "61402957",
        "country": "HK",
        "state_or_province": "Hong Kong",
        "locality": None,
        "evidence": OLD,
        "authorised_representatives": [person | {"certificates": []}],
    }
    enrolment.enrol(pool, {"subscribers": [subscriber]}, "test", clock=lambda: NOW)
    with operating("identity", pool, sockets / "identity.sock", operations=OPERATIONS):
        yield
