"""Application factory of the sandbox, configured by its environment; gunicorn calls it in the
worker, after the fork.
"""

import os
from pathlib import Path
from typing import Final

from flask import Flask
from werkzeug.exceptions import HTTPException

from devtools.payment_sandbox import admin, api, page
from devtools.payment_sandbox.sessions import Failure
from devtools.payment_sandbox.store import Store
from devtools.payment_sandbox.webhooks import Deliverer, Merchant

MAX_BODY_BYTES: Final = 64 * 1024


def create_app() -> Flask:
    """Return the application, with its tables created and its webhook thread started."""
    store = Store(Path(os.environ["SANDBOX_STORE"]))
    store.prepare()
    deliverer = Deliverer(
        store,
        Merchant(
            url=os.environ["SANDBOX_WEBHOOK_URL"],
            secrets=os.environ["SANDBOX_WEBHOOK_SECRETS"].split(","),
            tls_name=os.environ.get("SANDBOX_WEBHOOK_TLS_NAME") or None,
            ca_file=os.environ.get("SANDBOX_WEBHOOK_CA_FILE") or None,
        ),
    )
    app = Flask("payment-sandbox", root_path=str(Path(__file__).parent), static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[api.EXTENSION] = api.Shop(
        store, deliverer, os.environ["SANDBOX_API_KEY"], os.environ["SANDBOX_PUBLIC_URL"].rstrip("/")
    )
    for blueprint in (api.blp, page.blp, admin.blp):
        app.register_blueprint(blueprint)
    app.register_error_handler(Failure, api.fail)
    app.register_error_handler(HTTPException, api.fail_http)
    app.add_url_rule("/livez", "livez", lambda: "ok")
    deliverer.start()
    return app
