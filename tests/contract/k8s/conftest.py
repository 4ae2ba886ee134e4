"""Each overlay, rendered once."""

import pytest

from tests.contract.k8s.rendering import OVERLAYS, Rendered, render


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """An overlay; what a test changes is a copy of its own."""
    return render(request.param)


@pytest.fixture
def production() -> Rendered:
    """The overlay of production."""
    return render("production")
