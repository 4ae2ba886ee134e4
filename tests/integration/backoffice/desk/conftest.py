"""A desk for each test; the staff's certificates are made once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.local.staff import CA
from shared.db import Pool
from tests.integration.backoffice.desk.opening import make_members, open_pool, open_world
from tests.integration.backoffice.desk.world import Staff, World
from tests.support.engines import Database


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Staff:
    """The staff CA, its CRL and every sample member."""
    return make_members(tmp_path_factory.mktemp("staff"))


@pytest.fixture
def pool(database: Callable[[str], Database]) -> Iterator[Pool]:
    """The desk's database, the members' roles in it."""
    with open_pool(database("desk").url) as opened:
        yield opened


@pytest.fixture
def crl_file(members: Staff, tmp_path: Path) -> Path:
    """The staff CA's CRL of today, for the test to spoil."""
    copy = tmp_path / "staff.crl"
    copy.write_bytes((members.folder / "crls" / f"{CA}.crl").read_bytes())
    return copy


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose name is short enough for a Unix socket."""
    with TemporaryDirectory(prefix="desk-") as folder:
        yield Path(folder)


@pytest.fixture
def world(pool: Pool, members: Staff, crl_file: Path, sockets: Path) -> Iterator[World]:
    """The desk, in the test's own process; it operates itself and whom the test puts at SERVICE.sock."""
    with open_world(pool, members, crl_file, sockets) as opened:
        yield opened
