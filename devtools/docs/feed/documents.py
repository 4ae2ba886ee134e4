"""Generated files of docs/events: schemas, AsyncAPI, OpenAPI, examples, a page for people."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import flask
import jinja2

from deploy.kafka.topics import ACCESS, READERS
from devtools.docs import event_schemas
from devtools.docs.feed import examples
from services.issuance.feed import api
from shared.db import Pool
from shared.events.base import FEEDS, Topic
from shared.messaging import codec
from shared.security.tokens import KeySet
from shared.web.app import create_app
from shared.web.idempotency import FingerprintKey

FOLDER: Final = Path("docs/events")
# Written by hand, or by another generator.
GUIDE: Final = ("README.md", "flow.md", "verify.sh")


def files() -> dict[str, str]:
    """Return all files by name."""
    schemas = event_schemas.documents(examples.messages())
    batch = [codec.to_json(record) for record in examples.records()]
    return {
        **schemas,
        "feed.openapi.json": event_schemas.as_json(openapi()),
        "examples.json": event_schemas.as_json(batch),
        "example-keys.json": event_schemas.as_json({"keys": [examples.key().jwk()]}),
        "index.html": _page(schemas),
    }


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of the feed over HTTP."""
    return describe(app_of("issuance", api, servers=api.SERVERS))


def app_of(name: str, module: ModuleType, **options: Any) -> flask.Flask:
    """Return a service's app for its description alone: it has neither database nor keys."""
    return create_app(
        name,
        blueprints=[module.blp],
        problem_table=module.PROBLEMS,
        pool=cast(Pool, None),
        keys=KeySet(keys={}),
        fingerprints=FingerprintKey(bytes(32)),
        deps=None,
        **options,
    )


def describe(app: flask.Flask) -> dict[str, Any]:
    """Return the OpenAPI document of an app."""
    document: dict[str, Any] = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return document


def _page(schemas: Mapping[str, str]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    asyncapi = json.loads(schemas["asyncapi.json"])
    page = environment.get_template("page.html").render(
        channels={topic: _channel(topic, asyncapi, schemas) for topic in sorted(Topic, key=lambda t: t not in FEEDS)},
        traits=asyncapi["components"]["messageTraits"],
        problems=[*{problem.slug: problem for problem in api.PROBLEMS.values()}.values()],
    )
    return page.rstrip("\n") + "\n"


def _channel(topic: Topic, asyncapi: Mapping[str, Any], schemas: Mapping[str, str]) -> dict[str, Any]:
    everyone = {**ACCESS, **READERS}
    names = asyncapi["channels"][topic]["messages"]
    messages = [asyncapi["components"]["messages"][name] for name in names]
    return {
        "is_feed": topic in FEEDS,
        "writer": next(who for who, access in ACCESS.items() if topic in access.writes),
        "readers": [who for who, access in everyone.items() if topic in access.reads],
        "messages": [
            {**message, "schema": json.loads(schemas[message["payload"]["$ref"].removeprefix("./")])}
            for message in messages
        ],
    }


def write() -> None:
    """Write the files, and delete those of events that no longer exist."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for path in FOLDER.iterdir():
        if path.name not in wanted and path.name not in GUIDE:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
