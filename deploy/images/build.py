"""Builds of all images from one Dockerfile."""

import subprocess
import tomllib
from collections.abc import Callable, Sequence
from typing import Final

from deploy.gateway.rules import DESK, PORTAL, SERVICES
from deploy.images.engine import Engine
from deploy.local.installation import ROOT

PAYMENT_SANDBOX: Final = "payment-sandbox"
PERSPECTIVE: Final = "perspective"
# unbound beside a perspective, from a Dockerfile of its own.
RESOLVER: Final = "resolver"
# What stands for the world outside in a development cluster: on which image, and the folder of deploy/local.
NEIGHBOURS: Final = {"name-server": (PERSPECTIVE, "dns"), "transparency-logs": ("issuance", "ct")}
IMAGES: Final = (*SERVICES, PORTAL, DESK, PERSPECTIVE, PAYMENT_SANDBOX)


def name(service: str) -> str:
    """Return the image's name; the manifests for development use the same, without a registry."""
    return f"localhost/ecert/{service}:dev"


def source(service: str) -> str:
    """Return the folder of code that the image has beside shared/."""
    places = (f"services/{service}", service, f"backoffice/{service}", f"devtools/{service.replace('-', '_')}")
    return next(place for place in places if (ROOT / place).is_dir())


def arguments(service: str, base: str) -> Sequence[tuple[str, str]]:
    """Return the build arguments of the Dockerfile."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    revision = subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        ("BASE", base),
        ("SERVICE", service),
        ("SOURCE", source(service)),
        ("VERSION", str(version)),
        ("REVISION", revision or "unknown"),
    )


def build_all(engine: Engine, say: Callable[[str], None]) -> str:
    """Build all images one after the other. Returns their base image. Raises CannotBuild."""
    say("The base")
    base = engine.base()
    for service in IMAGES:
        say(f"Image of {service}")
        engine.build(name(service), ROOT, arguments(service, base))
    say(f"Image of {RESOLVER}")
    engine.build(name(RESOLVER), ROOT / "deploy" / "images" / RESOLVER, (("BASE", base),))
    for neighbour, (below, folder) in NEIGHBOURS.items():
        say(f"Image of {neighbour}")
        own = (("BASE", name(below)), ("FOLDER", folder))
        engine.build(name(neighbour), ROOT, own, file=ROOT / "deploy" / "images" / "neighbours" / "Dockerfile")
    return base


def added(engine: Engine, service: str, base: str) -> int:
    """Return the bytes that the image adds to its base."""
    return engine.size(name(service)) - engine.size(base)
