"""Committed files under portal/static and the desk's: small, self-contained, and what the sources give."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[4]
PORTAL: Final = ROOT / "portal"
STATIC: Final = PORTAL / "static"
STYLES: Final = ("portal/static/portal.css", "backoffice/desk/static/desk.css")
BUILT: Final = (*STYLES, "portal/static/signing.js", "portal/static/signing.js.LEGAL.txt")


def compressed(name: str) -> int:
    return len(gzip.compress((ROOT / name).read_bytes()))


@pytest.mark.parametrize("name", STYLES)
def test_stylesheet_loads_no_file_and_has_its_own_design(name: str) -> None:
    styles = (ROOT / name).read_text()
    assert re.findall(r"url\(|@import|@font-face|GDS Transport|crown|crest", styles, re.IGNORECASE) == []


def test_pages_stay_small() -> None:
    assert [name for name in STYLES if compressed(name) > 20_000] == []
    assert compressed("portal/static/signing.js") <= 110_000


def test_script_runs_under_a_policy_without_eval() -> None:
    script = (STATIC / "signing.js").read_text()
    assert re.findall(r"\bnew Function\b|(?<![\w.$])eval\(|(?<![\w.$])Function\(\"", script) == []


def test_npm_lock_pins_hashes_and_names_no_registry() -> None:
    packages = json.loads((PORTAL / "assets" / "package-lock.json").read_text())["packages"]
    installed = {path: entry for path, entry in packages.items() if path}
    assert [path for path, entry in installed.items() if "integrity" not in entry] == []
    assert [path for path, entry in installed.items() if "resolved" in entry] == []


@pytest.mark.slow
def test_committed_assets_are_those_of_the_sources(tmp_path: Path) -> None:
    sources = tmp_path / "portal" / "assets"
    shutil.copytree(PORTAL / "assets", sources, ignore=shutil.ignore_patterns("node_modules"))
    for folder in ("portal/static", "backoffice/desk/static"):
        (tmp_path / folder).mkdir(parents=True)
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    for arguments in (["ci", "--ignore-scripts"], ["run", "build"]):
        subprocess.run([programs / "npm", *arguments, "--loglevel=error"], cwd=sources, env=environment, check=True)
    differing = [name for name in BUILT if (tmp_path / name).read_bytes() != (ROOT / name).read_bytes()]
    assert differing == [], "run `make assets` and commit what it builds"
