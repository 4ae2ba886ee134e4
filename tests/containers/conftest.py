"""Every image, built once for all tests of a run."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.images.build import build_all
from deploy.images.engine import Engine, prepare
from deploy.local.run import Progress


@dataclass(frozen=True)
class Built:
    """The engine that has them, and what they stand on."""

    engine: Engine
    base: str


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    """Images built again; unchanged layers are reused. Fails with a message if buildah is missing."""
    engine = prepare()
    with engine.alone():
        yield Built(engine, build_all(engine, Progress()))
