"""One test PKI for all tests of it."""

from datetime import UTC, datetime

import pytest

from deploy.local import pki as local_pki

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def now() -> datetime:
    """The moment the PKI was made."""
    return NOW


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> local_pki.PKI:
    """A whole test PKI."""
    made = local_pki.PKI(tmp_path_factory.mktemp("pki"))
    local_pki.create(made, {name: f"password of {name.rpartition('/')[2]}" for name in local_pki.PASSWORDS}, now=NOW)
    return made
