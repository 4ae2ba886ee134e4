"""The lists of packages in requirements/."""

import re

from packaging.requirements import Requirement

from tests.contract.k8s.rendering import ROOT


def pinned(which: str) -> list[Requirement]:
    """Return what a list asks for, each at one version."""
    lines = (ROOT / "requirements" / f"{which}.txt").read_text().splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[a-z]", line)]


def versions(which: str) -> set[tuple[str, str]]:
    """Return each package's name and version, on whatever system it is asked for."""
    return {(each.name, str(each.specifier)) for each in pinned(which)}
