"""The packages in the images: those that the tests run, and those of all services in one layer."""

import pytest

from deploy.images.build import IMAGES
from tests.contract.k8s.packages import pinned, versions


@pytest.mark.parametrize("which", [*IMAGES, "common", "local"])
def test_image_packages_are_those_that_were_tested(which: str) -> None:
    assert versions(which) - versions("dev") == set()
    assert all(str(each.specifier).startswith("==") for each in pinned(which))


@pytest.mark.parametrize("service", IMAGES)
def test_service_packages_include_the_common_packages(service: str) -> None:
    """The layer with the common ones lies under its own: what it wanted otherwise would be in the image twice."""
    assert versions("common") <= versions(service)
