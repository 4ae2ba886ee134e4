"""The reference documents are what the code says, and leave nothing out."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from deploy.local import stack
from devtools.docs import commands, configuration, desk_document, flow, openapi
from shared.events.base import Event, Topic
from shared.events.registry import ALL
from shared.settings import Env

ROOT = Path(__file__).parents[2]
# Where variables are read.
CODE = ("shared", "services", "portal", "perspective", "backoffice", "deploy", "devtools/payment_sandbox")
OF_THE_SYSTEM = {"PATH", "PYTHONPATH", "gunicorn.socket"}


def _read_in(folder: Path) -> Iterator[str]:
    """Yield the variables that code reads by `env.kind("NAME")`, `os.environ["NAME"]` or `os.environ.get("NAME")`."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="env")), args=[ast.Constant(value=str(name)), *_]):
                    yield name
                case ast.Call(
                    func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield name
                case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(name))):
                    yield name


@pytest.mark.parametrize("document", [configuration, commands, flow], ids=lambda module: module.FILE.name)
def test_reference_is_as_the_code_writes_it(document: ModuleType) -> None:
    assert (ROOT / document.FILE).read_text("utf-8") == document.text(), "make docs"


def test_openapi_documents_are_as_the_apps_describe_themselves() -> None:
    found = {path.name: path.read_text("utf-8") for path in (ROOT / openapi.FOLDER).iterdir()}
    assert found == openapi.files(), "make docs"


def test_operator_apis_without_operations_of_their_own_are_the_same() -> None:
    common = [name for name in stack.OPERATED if desk_document.service(name).operations is None]
    assert len(common) > 1
    assert all(openapi.operators(name) == openapi.operators(common[0]) for name in common)


def test_variable_without_description_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="description"):
        Env().str("DATABASE_URL")


@pytest.mark.parametrize("reader", configuration.READERS, ids=lambda reader: reader.title)
def test_every_variable_has_a_description_of_one_line(reader: configuration.Reader) -> None:
    for variable, _ in configuration.declared(reader):
        assert 0 < len(variable.description) <= 100, variable.name
        assert "\n" not in variable.description
        assert not variable.description.endswith("."), variable.name


@pytest.mark.parametrize("name", sorted({name for folder in CODE for name in _read_in(ROOT / folder)} - OF_THE_SYSTEM))
def test_every_variable_that_is_read_stands_in_the_reference(name: str) -> None:
    assert f"`{name}`" in (ROOT / configuration.FILE).read_text("utf-8")


@pytest.mark.parametrize("event", ALL.values(), ids=lambda event: event.__name__)
def test_every_event_has_a_producer_and_is_handled(event: type[Event]) -> None:
    consumers = {
        consumer
        for consumer, found in flow.subscriptions().items()
        if any(subscription.event_type is event for subscription in found)
    }
    assert flow.producers(event), "nothing makes it"
    assert bool(consumers) == (event.TOPIC is not Topic.EVIDENCE), "nobody handles it, but for copies of evidence"
