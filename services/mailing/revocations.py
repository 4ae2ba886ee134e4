"""Revocation of a certificate: what its e-mail says beside the item."""

import re
from collections.abc import Mapping
from typing import Final

from services.mailing.refusals import NumberUnusable
from shared.events.issuance import CertificateRevoked
from shared.vocabulary import HONG_KONG

_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")


def content_of(event: CertificateRevoked) -> Mapping[str, object]:
    """Return the content. Raises NumberUnusable: no text of an intruder in issuance is mailed."""
    if not _SERIAL.fullmatch(event.serial):
        raise NumberUnusable("not the serial number of a certificate")
    return {
        "serial": event.serial,
        "reason": event.reason,
        "revoked_at": event.revoked_at.astimezone(HONG_KONG).isoformat(),
        "by_representative": event.revoked_by == "representative",
    }
