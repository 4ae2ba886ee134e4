"""Modules of every process of issuance, loaded once: processes are forked from here."""

from services.issuance import api, main, revocation
from services.issuance.ca import lint
from shared.messaging import kafka_clients, relay
from shared.web import app, gunicorn_server
from tests.integration.services.issuance.kills import points

__all__ = ["api", "app", "gunicorn_server", "kafka_clients", "main", "points", "relay", "revocation"]

lint.warm_up()
