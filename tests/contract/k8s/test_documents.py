"""Commands in operations.md and the runbooks find what the manifests make, and its operator takes it."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tests.contract.k8s import flows
from tests.contract.k8s.reach import selects
from tests.contract.k8s.rendering import ROOT, Object, Rendered, check_custom, labels, name, render

DOCUMENTS: Final = (ROOT / "docs" / "operations.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md")))
COMMAND: Final = re.compile(r"kubectl -n ecert ([^\n`]+)")
NAMED: Final = re.compile(r"\b(deployment|job|service)/([A-Za-z-]+)")
SELECTED: Final = re.compile(r"\b(logs|pods|job|deployment) -l (\S+[\w])")


def commands() -> Iterator[tuple[str, str]]:
    """Yield every command for our namespace, with the document that gives it."""
    for path in DOCUMENTS:
        yield from ((path.name, found) for found in COMMAND.findall(path.read_text("utf-8")))


def of_each_service(word: str) -> list[str]:
    """Return the commands for a service that has a database, in place of SERVICE."""
    return [word.replace("SERVICE", service) for service in flows.WITH_DATABASE]


def found(rendered: Rendered, kind: str, selector: str) -> list[str]:
    """Return what a label selector finds: pods by what their template says, the rest by their own labels."""
    wanted = {"matchLabels": dict(each.split("=") for each in selector.split(","))}
    if kind in ("logs", "pods"):
        return [name(each) for each in rendered.workloads() if selects(wanted, labels(each))]
    objects = rendered.of(kind.capitalize())
    return [name(each) for each in objects if selects(wanted, each["metadata"].get("labels", {}))]


def missed(rendered: Rendered) -> list[str]:
    """Return the commands that would find nothing."""
    wrong = []
    there = {(each["kind"].lower(), name(each)) for each in (*rendered.objects, *render("dev").objects)}
    for where, command in commands():
        for kind, selector in SELECTED.findall(command):
            if not any(found(rendered, kind, each) for each in of_each_service(selector)):
                wrong.append(f"{where}: {kind} {selector}")
        for kind, which in NAMED.findall(command):
            missing = {(kind, each) for each in of_each_service(which) if each != "NAME"} - there
            wrong += [f"{where}: {kind}/{each}" for kind, each in missing]
    return wrong


def test_commands_in_documents_select_existing_objects(production: Rendered) -> None:
    assert len([*commands()]) > 10
    assert missed(production) == []


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_label_without_an_object_is_found(production: Rendered, kind: str) -> None:
    made = production.broken()
    for each in made.of(kind):
        each["metadata"].pop("labels")
    assert missed(made) != []


def restored(cluster: Object) -> Object:
    """Return the Cluster as operations.md has it restored."""
    text = DOCUMENTS[0].read_text("utf-8")
    (block,) = re.findall(r"```yaml\n( *# Cluster SERVICE-db\n.*?)```", text, re.DOTALL)
    said, made = yaml.safe_load(block.replace("SERVICE", "payment")), copy.deepcopy(cluster)
    store = made["spec"]["backup"]["barmanObjectStore"]
    for each in (said["backup"], *said["externalClusters"]):
        each["barmanObjectStore"] = store | each["barmanObjectStore"]
    made["spec"] |= said
    return made


def test_restored_database_is_accepted_by_its_operator(production: Rendered) -> None:
    cluster = production.one("Cluster", "payment-db")
    made = restored(cluster)
    assert dict(check_custom([("restored", made)])) == {}
    names = [
        each["barmanObjectStore"]["serverName"] for each in (*made["spec"]["externalClusters"], made["spec"]["backup"])
    ]
    assert (names[0], len(set(names))) == (name(cluster), 2), "it would write into the archive that it was made from"
    recovery, initdb = made["spec"]["bootstrap"]["recovery"], cluster["spec"]["bootstrap"]["initdb"]
    assert {key: recovery[key] for key in ("database", "owner", "secret")} == {
        key: initdb[key] for key in ("database", "owner", "secret")
    }
    assert recovery["source"] == made["spec"]["externalClusters"][0]["name"]


def test_right_to_read_back_is_accepted_by_kafkas_operator(production: Rendered) -> None:
    ((patch,),) = (
        json.loads(each) for each in re.findall(r"--type=json -p '(.*?)'", DOCUMENTS[0].read_text("utf-8"), re.DOTALL)
    )
    user = copy.deepcopy(production.one("KafkaUser", "issuance"))
    assert (patch["op"], patch["path"]) == ("add", "/spec/authorization/acls/-")
    user["spec"]["authorization"]["acls"].append(patch["value"])
    assert dict(check_custom([("user", user)])) == {}
    resource = patch["value"]["resource"]
    assert (resource["name"], resource["patternType"]) == ("SERVICE.", "prefix")
