"""The Secrets for development are those that the overlay asks for, key by key."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.k8s import dev_secrets
from deploy.local.installation import Installation, Ports
from tests.contract.k8s.rendering import Object, Rendered, container, containers, environment, pod, render, secrets

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation.open(tmp_path_factory.mktemp("dev"), Ports())


@pytest.fixture(scope="module")
def made(installation: Installation) -> dev_secrets.Secrets:
    return dev_secrets.make(installation, now=NOW)


def keys(each: Object) -> Iterator[tuple[str, str]]:
    """Yield every key of a Secret that a workload names, by environment, item or file."""
    for variable in container(each).get("env", ()):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference and not reference.get("optional"):
            yield reference["name"], reference["key"]
    sources = [volume.get("secret") for volume in pod(each).get("volumes", ())]
    sources += [
        s["secret"] | {"secretName": s["secret"]["name"]}
        for v in pod(each).get("volumes", ())
        for s in v.get("projected", {}).get("sources", ())
    ]
    for source in filter(None, sources):
        if not source.get("optional"):
            yield from ((source["secretName"], item["key"]) for item in source.get("items", ()))
    mounts = {mount["name"]: mount for one in containers(each) for mount in one.get("volumeMounts", ())}
    for volume in pod(each).get("volumes", ()):
        if "secret" in volume and (part := mounts[volume["name"]].get("subPath")):
            yield volume["secret"]["secretName"], part


def files(rendered: Rendered, each: Object) -> Iterator[tuple[str, str]]:
    """Yield every Secret's key that a file setting points to, where the process has it mounted."""
    volumes = {volume["name"]: volume.get("secret", {}) for volume in pod(each).get("volumes", ())}
    mounted = {
        mount["mountPath"]: volumes[mount["name"]]
        for mount in container(each).get("volumeMounts", ())
        if mount["name"] in volumes
    }
    for variable, value in environment(rendered, each).items():
        place = mounted.get(str(Path(value).parent), {})
        if variable.endswith("_FILE") and place and "items" not in place:
            yield place["secretName"], Path(value).name


def test_every_requested_key_is_made(made: dev_secrets.Secrets) -> None:
    rendered = render("dev")
    asked = {pair for each in rendered.workloads() for pair in (*keys(each), *files(rendered, each))}
    assert len(asked) > 40
    assert {(name, key) for name, key in asked if key not in made.get(name, {})} == set()


def test_no_unrequested_secret_is_made(made: dev_secrets.Secrets) -> None:
    needed = {name for each in render("dev").workloads() for name in secrets(each)}
    assert set(made) - needed == set()


def test_second_run_keeps_keys_and_passwords(installation: Installation, made: dev_secrets.Secrets) -> None:
    again = dev_secrets.make(installation, now=NOW)
    fresh = {
        "services-ca",
        "perspectives-ca",
        "issuance-ca",
        *(name for name in made if name.endswith("-tls") and name != "ecert-gateway-tls"),
    }
    assert {name for name in made if made[name] != again[name]} <= fresh | {"client-crls"}
