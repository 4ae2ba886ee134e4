"""The nightly jobs: admitted like their services' pods, each with one database, all with the same volume."""

import pytest

from backoffice.reconciliation.main import SERVICES
from deploy.k8s.reconciliation import KEYS_SECRET, VOLUME, manifests
from tests.contract.k8s import policy
from tests.contract.k8s.rendering import Object, Rendered, environment, job_of, labels, name, secrets
from tests.contract.k8s.test_valid import judge

RULES = (policy.has_no_privilege, policy.has_a_read_only_root, policy.runs_a_named_version)


@pytest.fixture
def made(production: Rendered) -> list[Object]:
    return manifests(production.objects)


def jobs(made: list[Object]) -> dict[str, Object]:
    """Return the jobs that the CronJobs make."""
    return {name(each): job_of(each) for each in made if each["kind"] == "CronJob"}


def test_reconciliation_jobs_are_valid_and_have_no_privilege(production: Rendered, made: list[Object]) -> None:
    for each in made:
        if each["kind"] != "ExternalSecret":
            judge(each)
    assert set(jobs(made)) == {*(f"{service}-export" for service in SERVICES), "reconcile"}
    alone = Rendered("production", (*production.of("ConfigMap"), *jobs(made).values()))
    for rule in RULES:
        assert list(rule(alone)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_reconciliation_export_sees_its_own_database_and_key_and_no_other_secret(
    production: Rendered, made: list[Object], service: str
) -> None:
    export = jobs(made)[f"{service}-export"]
    (container,) = export["spec"]["template"]["spec"]["containers"]
    assert container["args"][1:] == [
        "export",
        "--actor",
        "reconciliation",
        "--output",
        f"/reconciliation/{service}.jsonl",
    ]
    own = {f"{service}-database", f"{service}-db-ca", f"{service}-audit-key", service}
    public = {f"{name}-public-keys" for name in ("identity", "application", "payment", "issuance-feed")}
    # Every process of payment and mailing checks all of its settings.
    checked = {"payment": {"payment-provider"}, "mailing": {"mailing-smtp"}}.get(service, set())
    assert secrets(export) <= own | public | checked
    assert f"{service}-audit-key" in secrets(export)
    assert environment(production, export)[f"{service.upper()}_DATABASE_URL"] == f"{service}-database/url"
    assert labels(export) == labels(production.one("Deployment", f"{service}-work"))


def test_reconciliation_compares_after_the_exports_with_public_keys_alone(
    production: Rendered, made: list[Object]
) -> None:
    reconcile = jobs(made)["reconcile"]
    spec = reconcile["spec"]["template"]["spec"]
    (topics,), (compare,) = spec["initContainers"], spec["containers"]
    assert (topics["args"][1], compare["args"][1]) == ("topics", "compare")
    assert KEYS_SECRET in secrets(reconcile)
    assert not {each for each in secrets(reconcile) if each.endswith(("-audit-key", "-signing-key"))}
    assert labels(reconcile) == labels(production.one("Deployment", "desk-consume"))
    schedules = {name(each): each["spec"]["schedule"] for each in made if each["kind"] == "CronJob"}
    assert {schedules.pop("reconcile")} == {"30 3 * * *"}
    assert set(schedules.values()) == {"30 2 * * *"}


def test_reconciliation_jobs_share_one_volume(made: list[Object]) -> None:
    for each in jobs(made).values():
        claims = [
            v["persistentVolumeClaim"] for v in each["spec"]["template"]["spec"]["volumes"] if v["name"] == VOLUME
        ]
        assert claims == [{"claimName": VOLUME}]
    (claim,) = (each for each in made if each["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
