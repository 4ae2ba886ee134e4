"""The manifests say what the code says: processes, commands, settings, ports, secrets."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.fernet import Fernet

from backoffice.desk import settings as desk
from deploy.local import processes
from deploy.local.installation import Installation, Ports
from deploy.local.processes import Group
from deploy.local.stack import Outside
from deploy.postgres.roles import migrations_folder as migrations_of
from deploy.postgres.roles import package
from portal import settings as portal
from services.application import settings as application
from services.identity import settings as identity
from services.issuance import settings as issuance
from services.issuance.feed import settings as feed
from services.mailing import print_settings
from services.mailing import settings as mailing
from services.payment import settings as payment
from shared.settings import SettingsError, read_desk_jwks_file
from shared.web.client_certificate import require_gateway_only
from tests.contract.k8s import flows
from tests.contract.k8s.rendering import (
    ROOT,
    Object,
    Rendered,
    container,
    environment,
    image,
    is_perspective,
    name,
    pod,
    secrets,
)

READERS: Final[Mapping[str, Callable[[], Any]]] = {
    "identity": identity.read_settings,
    "application": application.read_settings,
    "payment": payment.read_settings,
    "mailing": mailing.read_settings,
    "mailing-print": print_settings.read_settings,
    "issuance": issuance.read_settings,
    "issuance-feed": feed.read_settings,
    "portal": portal.read,
    "desk": desk.read_settings,
    "desk-web": lambda: (desk.read_settings(), desk.read_operators())[0],
}
# What a Secret might hold.
HELD: Final = {
    "PAYMENT_PROVIDER_API_KEY": "sk_live_1",
    "PAYMENT_WEBHOOK_SECRETS": "whsec_" + "QUFB" * 8,
    "SMTP_URL": "smtps://ecert:secret@mail.example.hk",
    "KAFKA_PASSWORD": "secret",
}


def of_table(rendered: Rendered) -> list[Object]:
    """Return our workloads but for the sandbox, which is the provider's, and perspectives, which have own tests."""
    return [each for each in rendered.ours() if name(each) != "payment-sandbox" and not is_perspective(each)]


def test_processes_are_those_of_one_machine_and_the_migrations(rendered: Rendered, tmp_path: Path) -> None:
    table = processes.table(Installation.open(tmp_path, Ports()), Outside(variables={}))
    local = {each.name: each.command[-2:] for each in table if each.group is Group.SERVICES}
    migrations = {f"{service}-migrate": (f"{package(service)}.main", "migrate") for service in flows.WITH_DATABASE}
    found = {name(each): tuple(container(each)["args"]) for each in of_table(rendered)}
    if rendered.overlay == "production":
        for job in flows.JOBS:
            assert found.pop(job)[:2] == (f"{package('issuance')}.main", job.removeprefix("issuance-"))
    assert found == local | migrations


def test_process_runs_in_the_image_of_its_service(rendered: Rendered) -> None:
    for each in rendered.ours():
        (package,) = re.findall(r"^(?:services\.|backoffice\.|devtools\.)?(\w+)", container(each)["args"][0])
        service = package.replace("_", "-")
        special = {("production", "issuance-work"): "issuance-hsm"}.get((rendered.overlay, name(each)))
        assert image(each).rpartition("/")[2].partition(":")[0] == (special or service)
        assert (ROOT / "requirements" / f"{service}.txt").exists()


def filled_environment(rendered: Rendered, each: Object, tmp_path: Path) -> dict[str, str]:
    """Return its environment with something in each Secret."""
    keys = tmp_path / "keys"
    keys.write_bytes(Fernet.generate_key())
    made = environment(rendered, each)
    for variable, value in made.items():
        if variable.endswith("DATABASE_URL"):
            made[variable] = "postgresql://somebody:secret@somewhere:5432/some"
        elif "/" in value and variable in HELD:
            made[variable] = HELD[variable]
    return made | ({"PORTAL_SESSION_KEYS_FILE": str(keys)} if "PORTAL_SESSION_KEYS_FILE" in made else {})


def read(each: Object, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings as the process would read them, in an environment of nothing else."""
    which = name(each) if name(each) in READERS else name(each).partition("-")[0]
    with monkeypatch.context() as patched:
        for variable in list(os.environ):
            patched.delenv(variable)
        for variable, value in variables.items():
            patched.setenv(variable, value)
        if name(each).endswith("-operate"):
            read_desk_jwks_file()
        return READERS[which]()


def test_every_process_has_all_variables_it_requires(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in of_table(rendered):
        settings = read(each, filled_environment(rendered, each, tmp_path), monkeypatch)
        if name(each) == "identity-web":
            require_gateway_only(settings.service.web)
        if name(each) == "desk-web":
            require_gateway_only(settings.web)


def test_missing_variable_of_a_process_is_found(
    production: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    required = 0
    for each in of_table(production):
        variables = filled_environment(production, each, tmp_path)
        for variable in variables:
            try:
                read(each, {other: value for other, value in variables.items() if other != variable}, monkeypatch)
            except SettingsError as error:
                required += variable in str(error)
    assert required > 200


def test_no_process_has_a_variable_that_its_code_does_not_read(rendered: Rendered) -> None:
    for each in rendered.ours():
        service = container(each)["args"][0].split(".")[-2]
        outside = service in ("portal", "perspective")  # no service with a database
        folders = [ROOT / "shared", ROOT / service if outside else migrations_of(ROOT, service).parent]
        if name(each) == "payment-sandbox":
            folders = [ROOT / "devtools/payment_sandbox"]
        code = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
        for variable in environment(rendered, each):
            own = re.sub(f"^{service.upper()}_(MIGRATE_)?DATABASE_URL$", r"}_\1DATABASE_URL", variable)
            assert own in code, f"{name(each)}: nobody reads {variable}"


def test_environment_is_that_of_the_overlay(rendered: Rendered) -> None:
    wanted = "local" if rendered.overlay == "dev" else "production"
    known = [environment(rendered, each).get("ENVIRONMENT", wanted) for each in of_table(rendered)]
    assert set(known) == {wanted}


def test_ports_agree_in_process_container_service_and_probe(rendered: Rendered) -> None:
    for each in of_table(rendered):
        variables, ports = (
            environment(rendered, each),
            {p["name"]: p["containerPort"] for p in container(each).get("ports", ())},
        )
        if each["kind"] == "Job":
            assert ports == {}
            continue
        assert ports["admin"] == int(variables["ADMIN_PORT"])
        assert variables["ADMIN_HOST"] == "0.0.0.0"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container(each)[probe]["httpGet"]["port"] == "admin"
        if "BIND" in variables:
            assert variables["BIND"] == f"0.0.0.0:{ports['https']}"
            (port,) = rendered.one("Service", name(each))["spec"]["ports"]
            assert (port["port"], port["targetPort"]) == (ports["https"], "https")
        else:
            assert set(ports) == {"admin"}


def test_files_named_by_variables_are_mounted(rendered: Rendered) -> None:
    """Every process has the paths of all files; the tests of the containers show that each sees those it opens."""
    places = {mount["mountPath"] for each in of_table(rendered) for mount in container(each).get("volumeMounts", ())}
    for each in of_table(rendered):
        for variable, value in environment(rendered, each).items():
            if variable.endswith(("_FILE", "_DIR")) and variable != "CA_TOKEN_MODULE_FILE":  # that is in the image
                assert any(
                    place == value or place.startswith(value + "/") or str(Path(value).parent) == place
                    for place in places
                ), variable


# Which processes see a Secret. The environment common to a service's processes is not included.
ONLY: Final = {
    "issuance-ca-key": {"issuance-work"},
    "issuance-perspectives-tls": {"issuance-validate"},
    "perspectives-ca": {"issuance-validate"},
    "issuance-pin-pepper": {"issuance-web", "issuance-work"},
    "mailing-print-key": {"mailing-print"},
    "mailing-print-database": {"mailing-print"},
    "issuance-feed-database": {"issuance-feed"},
    "issuance-feed-key": {"issuance-relay"},
    "issuance-feed-tls": {"issuance-feed"},
    "identity-signing-key": {"identity-web"},
    "application-signing-key": {"application-web"},
    "payment-signing-key": {"payment-web", "payment-work"},
    "portal-session-keys": {"portal-web"},
    **{f"{service}-migrate-database": {f"{service}-migrate"} for service in flows.WITH_DATABASE},
    **{f"{service}-audit-key": {f"{service}-work"} for service in flows.WITH_DATABASE},
    **{
        f"{service}-fingerprint-key": {
            f"{service}-{each}" for each in ("web", "operate") if each in flows.PROCESSES[service]
        }
        for service in flows.WITH_DATABASE
    },
    **{f"{service}-operate-tls": {f"{service}-operate"} for service in flows.WITH_DATABASE},
    "desk-signing-key": {"desk-web"},
    "desk-public-keys": {each for each in flows.pods() if each.endswith("-operate")},
    **{f"{service}-web-tls": {f"{service}-web"} for service in (*flows.WITH_DATABASE, "portal")},
    **{
        service: {f"{service}-{process}" for process in ("consume", "relay") if process in flows.PROCESSES[service]}
        for service in flows.WITH_DATABASE
    },
}


def test_secret_is_mounted_only_where_it_is_needed(rendered: Rendered) -> None:
    for secret, who in ONLY.items():
        assert {name(each) for each in of_table(rendered) if secret in secrets(each)} == who, secret
    for service in flows.WITH_DATABASE:
        seen = {name(each) for each in of_table(rendered) if f"{service}-database" in secrets(each)} - {*flows.JOBS}
        assert seen == {pod for pod in flows.pods() if pod.startswith(f"{service}-")} - {
            "mailing-print",
            "issuance-feed",
        }


# The key of a CA or of somebody else lies beside the certificate in these.
WITH_A_KEY: Final = ("-db-ca", "cluster-ca-cert", "services-ca", "gateway-client-tls", "desk-client-tls")


def keys_of_others(rendered: Rendered) -> list[str]:
    """Return who sees more than a CA's certificate; the desk's own key is its pages' alone."""
    found = []
    for each in of_table(rendered):
        for secret in (volume.get("secret", {}) for volume in pod(each).get("volumes", ())):
            which = secret.get("secretName", "")
            own = ["tls.crt", "tls.key"] if (name(each), which) == ("desk-web", "desk-client-tls") else ["ca.crt"]
            if which.endswith(WITH_A_KEY) and [item["key"] for item in secret.get("items", ())] != own:
                found.append(f"{name(each)}: {which}")
    return found


def test_only_the_certificate_of_an_operators_secret_is_mounted(rendered: Rendered) -> None:
    assert keys_of_others(rendered) == []


@pytest.mark.parametrize("which", ["services-ca", "gateway-client-tls", "desk-client-tls"])
def test_mounted_key_of_another_process_is_found(production: Rendered, which: str) -> None:
    made = production.broken()
    for each in of_table(made):
        for volume in pod(each).get("volumes", ()):
            if volume.get("secret", {}).get("secretName") == which:
                del volume["secret"]["items"]
    assert keys_of_others(made) != []


def test_every_secret_of_production_has_a_source(production: Rendered) -> None:
    made = {each["spec"]["target"]["name"] for each in production.of("ExternalSecret")}
    made |= {each["spec"]["secretName"] for each in production.of("Certificate")}
    made |= {name(each) for each in production.of("KafkaUser")}
    made |= {f"{name(each)}-ca" for each in production.of("Cluster")} | {"ecert-cluster-ca-cert"}
    needed = {secret for each in production.workloads() for secret in secrets(each)}
    assert needed - made == set()
