"""Which client certificate Chromium shows where, by an administrator's policy instead of the reader's choice."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

_POLICIES = Path("/etc/chromium/policies/managed")


@contextlib.contextmanager
def automatic(host: str) -> Iterator[None]:
    """Select the only certificate that fits, for this host alone, for as long as the block lasts."""
    if os.geteuid() != 0:
        pytest.fail(f"this test needs root, who may write to {_POLICIES}")
    _POLICIES.mkdir(parents=True, exist_ok=True)
    file = _POLICIES / f"ecert-test-{uuid.uuid4().hex}.json"
    file.write_text(json.dumps({"AutoSelectCertificateForUrls": [json.dumps({"pattern": host, "filter": {}})]}))
    try:
        yield
    finally:
        file.unlink()
