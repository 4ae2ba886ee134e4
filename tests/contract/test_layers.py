"""Every module has a layer: the contracts name all modules of all packages, without exceptions."""

import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
CONTRACTS = SETTINGS["contracts"]
_LISTED = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py")


def children() -> dict[str, set[str]]:
    """Return the modules and packages in each package."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in subprocess.run(_LISTED, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        file = Path(name)
        *parents, last = (file.parent if file.name == "__init__.py" else file.with_suffix("")).parts
        if parents and parents[0] in SETTINGS["root_packages"] and (ROOT / file).exists():
            found[".".join(parents)].add(last)
    return found


def layered() -> dict[str, set[str]]:
    """Return what the contracts name in each package, by containers or by whole names."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in (contract for contract in CONTRACTS if contract["type"] == "layers"):
        for name in re.findall(r"[\w.]+", " ".join(each["layers"])):
            parent, _, last = name.rpartition(".")
            for container in each.get("containers", [parent]):
                found[container].add(last)
    del found[""]  # the packages at the top
    return found


def test_every_module_of_every_package_has_a_layer() -> None:
    assert layered() == children()


def test_no_contract_has_exceptions() -> None:
    exceptions = {"ignore_imports", "exhaustive_ignores", "skip_descendants"}
    assert [each["name"] for each in CONTRACTS if exceptions & {*each}] == []
