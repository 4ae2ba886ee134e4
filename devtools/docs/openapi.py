"""docs/openapi/*.json: the HTTP APIs of all services, as their own apps describe them."""

from pathlib import Path
from typing import Any, Final

from deploy.local import stack
from devtools.docs import event_schemas
from devtools.docs.desk_document import operator_app, service
from devtools.docs.feed.documents import app_of, describe
from services.application import api as application
from services.identity import api as identity
from services.issuance import api as issuance
from services.payment import api as payment

FOLDER: Final = Path("docs/openapi")
# mailing answers operators alone; the feed's document lies beside the events (docs/events/feed.openapi.json).
APIS: Final = {"identity": identity, "application": application, "payment": payment, "issuance": issuance}
# The operator API of services that have no operations of their own is the same.
COMMON_OPERATORS: Final = "operators.json"


def files() -> dict[str, str]:
    """Return every document, by file name."""
    found = {f"{name}.json": describe(app_of(name, module)) for name, module in APIS.items()}
    for name in stack.OPERATED:
        own = service(name).operations is not None
        found[f"{name}-operators.json" if own else COMMON_OPERATORS] = operators(name)
    return {name: event_schemas.as_json(document) for name, document in found.items()}


def operators(name: str) -> dict[str, Any]:
    """Return the document of a service's operator API; its title names the service only if it has its own."""
    document = describe(operator_app(name))
    if service(name).operations is None:
        document["info"]["title"] = "e-Cert renewal: operators"
    return document


def write() -> None:
    """Write the documents, and remove those of APIs that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for path in FOLDER.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
