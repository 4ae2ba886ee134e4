"""Content of each image."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from packaging.utils import canonicalize_name

from deploy.images.build import IMAGES, added, name, source
from deploy.local.installation import ROOT
from tests.containers.conftest import Built
from tests.contract.k8s.packages import pinned

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MOST = 150_000_000

# Run inside: no user can change anything or see another service.
INSIDE = """
import importlib.util, os, sys
assert (os.getuid(), os.getgid()) == (65532, 65532), os.getuid()
for place in ("/", "/app", "/app/shared", "/etc", "/usr"):
    try:
        open(place + "/written", "w")
    except OSError:
        continue
    sys.exit(place + " can be written")
def is_there(name):
    head, _, last = name.rpartition(".")
    return (not head or is_there(head)) and importlib.util.find_spec(name) is not None
found = [each for each in sys.argv[1].split() if is_there(each)]
sys.exit(f"found {found}" if found else 0)
"""

# Run inside: nothing that was omitted is missing.
IMPORTED = """
import importlib, pathlib, sys
for file in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    if file.stem not in ("__init__", "__main__"):
        importlib.import_module(".".join(file.with_suffix("").parts))
importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
"""


@pytest.fixture(params=IMAGES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def files(built: Built, service: str) -> Iterator[Path]:
    with built.engine.mounted(name(service)) as root:
        yield root


def test_image_adds_less_than_150_mb_to_its_base(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {service: added(built.engine, service, built.base) for service in IMAGES}
    with capsys.disabled():
        print("\n" + "\n".join(f"  {service:16} {size / 1e6:6.1f} MB added" for service, size in sizes.items()))
    assert all(size < MOST for size in sizes.values())


def test_common_packages_are_one_shared_layer(built: Built) -> None:
    layers = [
        json.loads(built.engine.podman("image", "inspect", name(service)))[0]["RootFS"]["Layers"] for service in IMAGES
    ]
    below = json.loads(built.engine.podman("image", "inspect", built.base))[0]["RootFS"]["Layers"]
    assert {tuple(each[: len(below)]) for each in layers} == {tuple(below)}
    assert len({each[len(below)] for each in layers}) == 1


def test_image_contains_only_its_service(files: Path, service: str) -> None:
    app = files / "app"
    assert {each.name for each in app.iterdir()} == {
        "venv",
        "shared",
        source(service).partition("/")[0],
        "sbom.cdx.json",
    }
    if "/" in source(service):
        assert [each.name for each in (app / source(service)).parent.iterdir()] == [Path(source(service)).name]
    code = {each for part in ("shared", source(service)) for each in (app / part).rglob("*") if each.is_file()}
    kept = {str(each.relative_to(app)) for each in code if "__pycache__" not in each.parts}
    tracked = {
        str(each.relative_to(ROOT))
        for part in ("shared", source(service))
        for each in (ROOT / part).rglob("*")
        if each.is_file() and not {"__pycache__", "assets"} & set(each.parts)
    }
    assert kept == tracked


def test_image_changes_nothing_outside_app(built: Built, files: Path) -> None:
    with built.engine.mounted(built.base) as base:
        before, after = ({str(each.relative_to(root)) for each in root.rglob("*")} for root in (base, files))
    assert {path for path in before ^ after if path != "app" and not path.startswith("app/")} == set()


def test_image_has_no_pip_cache_or_build_files(files: Path) -> None:
    packages = {each.name for each in (files / "app/venv/lib/python3.11/site-packages").iterdir()}
    assert not {"pip", "setuptools", "wheel", "tests"} & packages
    assert not list(files.glob("root/.cache/*"))
    assert not (files / "build").exists()


def test_image_bill_of_materials_matches_its_requirements(files: Path, service: str) -> None:
    listed = json.loads((files / "app/sbom.cdx.json").read_text())
    parts = {canonicalize_name(each["name"]): each["version"] for each in listed["components"]}
    wanted = {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in pinned(service)
        if each.marker is None or each.marker.evaluate()
    }
    assert parts == wanted
    assert all(each["purl"].startswith("pkg:pypi/") for each in listed["components"])


def test_image_has_labels(built: Built, service: str) -> None:
    said = json.loads(built.engine.podman("image", "inspect", name(service)))[0]
    labels = {label.removeprefix("org.opencontainers.image."): value for label, value in said["Labels"].items()}
    assert (labels["title"], labels["base.name"]) == (f"ecert/{service}", built.base)
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["version"])
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert said["User"] == "65532:65532"
    assert said["Config"]["Entrypoint"] == ["/app/venv/bin/python", "-m"]


def test_container_is_read_only_and_has_no_other_service(built: Built, service: str) -> None:
    others = [source(each).replace("/", ".") for each in IMAGES if each != service]
    entry = ("--network", "none", "--read-only", "--read-only-tmpfs=false", "--entrypoint", "/app/venv/bin/python")
    command = built.engine.command(*entry, name(service), "-c", INSIDE, " ".join([*others, "tests", "deploy", "pip"]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_image_imports_all_of_its_code(built: Built, service: str) -> None:
    entry = ("--network", "none", "--read-only", "--read-only-tmpfs=false", "--entrypoint", "/app/venv/bin/python")
    command = built.engine.command(*entry, name(service), "-c", IMPORTED, source(service))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_leftovers_of_a_killed_run_are_removed(built: Built) -> None:
    image, sleep = name(IMAGES[0]), "import time; time.sleep(600)"  # a program to be killed: it never ends by itself
    entry = ("--detach", "--network", "none", "--entrypoint", "/app/venv/bin/python")
    subprocess.run(built.engine.command(*entry, image, "-c", sleep), capture_output=True, check=True)
    built.engine.podman("image", "mount", image)
    (container,) = built.engine.podman("ps", "--all", "--quiet", "--no-trunc").splitlines()
    assert container in running_programs()
    built.engine.clean()
    assert built.engine.podman("ps", "--all", "--quiet") == ""
    assert container not in running_programs()
    assert f"{built.engine.folder}/storage/overlay/" not in Path("/proc/self/mountinfo").read_text()


def running_programs() -> str:
    """Return the command line of every process on this machine."""
    return str([each.info["cmdline"] for each in psutil.process_iter(["cmdline"])])
