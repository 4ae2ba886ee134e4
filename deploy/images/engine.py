"""Image engine: buildah and podman with a storage of their own, and the base image."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from deploy.local.installation import CACHE, ROOT

_PROGRAMS: Final = ("buildah", "podman", "runc", "debootstrap")
_BASE: Final = "localhost/ecert-base"
_SUITE: Final = "bookworm"  # with Python 3.11
_CERTIFICATES: Final = Path("/etc/ssl/certs")
# Settings of this machine's pip that the pip of a build needs.
_INDEX: Final = re.compile(r"\S*[.]((?:extra-)?index-url|trusted-host|proxy)='(.*)'")
# Unused layers are kept so long for the next build.
_KEEP_LAYERS: Final = "168h"
# All parallel steps together must stay within the machine's limit of open files.
_LIMITS: Final = ("--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000")


class CannotBuild(Exception):
    """Images cannot be built on this machine; the message says why, and what to do."""


@dataclass(frozen=True)
class Engine:
    """An image storage for this purpose only."""

    folder: Path = CACHE / "images"

    @cached_property
    def _storage(self) -> tuple[str, ...]:
        """Storage options: overlay layers where the kernel permits them, else full copies."""
        where = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        layered = (*where, "--storage-driver", "overlay")
        tried = subprocess.run(("podman", *layered, "info"), capture_output=True, check=False)
        return layered if tried.returncode == 0 else (*where, "--storage-driver", "vfs")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the storage exclusively, and end everything in it afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.clean()
            try:
                yield
            finally:
                self.clean()
                self.podman("image", "prune", "--force", "--filter", f"until={_KEEP_LAYERS}")

    def clean(self) -> None:
        """End every container and mount, including those of a killed run; images stay."""
        self.podman("rm", "--all", "--force", "--time", "5")
        self.podman("image", "umount", "--all", "--force")
        _run(("buildah", *self._storage, "rm", "--all"))

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman to its end. Returns its output. Raises CannotBuild."""
        return _run(("podman", *self._storage, *arguments), check=check).strip()

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command that runs a container in the foreground: `podman run …`."""
        return ("podman", *self._storage, "--runtime", "runc", "run", "--rm", *_LIMITS, *arguments)

    def has(self, image: str) -> bool:
        """Return whether the image exists."""
        asked = ("podman", *self._storage, "image", "exists", image)
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def size(self, image: str) -> int:
        """Return the bytes of all layers of the image."""
        return int(self.podman("image", "inspect", "--format", "{{.Size}}", image))

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """Yield the image's files."""
        try:
            yield Path(self.podman("image", "mount", image))
        finally:
            self.podman("image", "umount", image)

    def build(
        self, image: str, folder: Path, arguments: Sequence[tuple[str, str]], *, file: Path | None = None
    ) -> None:
        """Build the Dockerfile of a folder, or that file with the folder's content.

        Raises CannotBuild with the last lines of what failed.
        """
        index = self.folder / "pip.conf"
        index.write_text(_index())
        named = (part for name, value in arguments for part in ("--build-arg", f"{name}={value}"))
        mounts = ("-v", f"{_CERTIFICATES}:{_CERTIFICATES}:ro", "-v", f"{index}:/etc/pip.conf:ro")
        options = ("--isolation", "chroot", "--layers", "--pull-never", *mounts, *named, "-t", image)
        options = (*options, *(() if file is None else ("-f", str(file))))
        _run(("buildah", *self._storage, "bud", *options, str(folder)))

    def base(self) -> str:
        """Return the base image by digest: the one named by ECERT_BASE_IMAGE, or one made of Debian's own packages."""
        given = os.environ.get("ECERT_BASE_IMAGE")
        if given:
            if not self.has(given):
                self.podman("pull", given)
            return given
        name = f"{_BASE}:{_SUITE}"
        if not self.has(name):
            self._import_base(name)
        return f"{_BASE}@{self.podman('image', 'inspect', '--format', '{{.Digest}}', name)}"

    def _import_base(self, name: str) -> None:
        root = self.folder / "base"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        packages = "--include=ca-certificates,python3,python3-venv"
        _run(("debootstrap", "--variant=minbase", packages, _SUITE, str(root), _mirror()))
        archive = self.folder / "base.tar"
        left_out = ("--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*")
        _run(("tar", "-C", str(root), *left_out, "-cf", str(archive), "."))
        self.podman("import", str(archive), name)
        archive.unlink()
        shutil.rmtree(root)


def prepare() -> Engine:
    """Return the engine, with its programs installed. Raises CannotBuild if they cannot be."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0:
        raise CannotBuild("Images are built as root here: sudo make containers")
    if missing:
        if shutil.which("apt-get") is None:
            raise CannotBuild(f"{', '.join(missing)} are missing, and there is no apt-get to install them")
        _run((str(ROOT / "devtools" / "apt-install"), "--no-install-recommends", *_PROGRAMS))
    return Engine()


def _mirror() -> str:
    """Return the mirror of this machine's own packages."""
    _run(("apt-get", "-qq", "update"), check=False)
    said = _run(("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(CODENAME)", "Created-By: Packages"))
    for line in said.splitlines():
        found = re.fullmatch(rf"(\S+) Debian {_SUITE}", line.strip())
        if found:
            return found[1]
    raise CannotBuild(f"This machine takes no packages from Debian {_SUITE}: name an image in ECERT_BASE_IMAGE")


def _index() -> str:
    """Return a pip.conf with the package index that this machine's pip uses."""
    said = _run((sys.executable, "-m", "pip", "config", "list"))
    found = (_INDEX.fullmatch(line.strip()) for line in said.splitlines())
    return "".join(["[global]\n", *(f"{each[1]} = {each[2]}\n" for each in found if each)])


def _run(command: Sequence[str], *, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        # A build's own step may have said why it failed on either.
        words = [line for output in (done.stdout, done.stderr) for line in output.strip().splitlines()[-25:]]
        raise CannotBuild(f"{' '.join(command[:2])} failed:\n  " + "\n  ".join(words))
    return done.stdout
