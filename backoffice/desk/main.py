"""Processes and commands of the desk; builds all dependencies."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from backoffice.desk import projection, rebuild, staff
from backoffice.desk.projection import Keys
from backoffice.desk.roles import Role
from backoffice.desk.settings import Settings, read_operators, read_settings
from backoffice.desk.staff import Trust
from shared.db import Pool
from shared.messaging.record import Record
from shared.messaging.subscriptions import Subscription
from shared.runtime.command_line import run
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.runtime.service import Service, applier
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet, SigningKey
from shared.tx import Tx
from shared.web import client_certificate

if TYPE_CHECKING:
    import flask

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app, configured by the environment."""
    # Only the web process imports Flask.
    from backoffice.desk.app import create_app
    from backoffice.desk.operators import Operators
    from backoffice.desk.web import Deps

    settings = read_settings()
    client_certificate.require_gateway_only(settings.web)
    told = read_operators()
    operators = Operators(addresses=told.addresses, key=SigningKey.load(told.key_file), network=told.network)
    return create_app(Deps(settings=settings, pool=pool, trust=read_trust(settings), operators=operators))


def read_trust(settings: Settings) -> Trust:
    """Return the pinned staff CA."""
    return Trust(
        issuer=x509.load_pem_x509_certificate(settings.staff_ca_file.read_bytes()), crl_file=settings.staff_crl_file
    )


def make_subscriptions() -> Sequence[Subscription]:
    """Return the subscriptions to all topics that the desk reads, with the real keys."""
    settings = read_settings()
    proofs = ProofKeys(
        identity=KeySet.load(settings.identity_jwks_file),
        application=KeySet.load(settings.application_jwks_file),
        payment=KeySet.load(settings.payment_jwks_file),
    )
    return projection.subscriptions(Keys(proofs=proofs, feed=lambda: KeySet.load_fresh(settings.feed_jwks_file)))


def _rebuild(pool: Pool, options: argparse.Namespace) -> Report:
    """Rebuild the projection. Refused, without a change, if the topics lack events that the projection contains."""
    from shared.messaging import consumer, kafka_clients  # only processes that use Kafka import its client

    kafka = read_settings().kafka

    def read() -> Iterator[list[Record]]:
        for batch in kafka_clients.read_all(kafka, "desk-rebuild", [topic.value for topic in projection.READ]):
            yield [*map(consumer.record_of, batch)]

    found = rebuild.rebuild(pool, applier("desk", make_subscriptions()), read, actor=options.actor)
    lines = (
        f"events {found.events}, renewals {found.renewals}, kept {found.kept}, skipped again {found.skipped}",
        f"before {found.before}",
        f"after  {found.after}",
    )
    return Report(values=asdict(found), text="\n".join(lines))


def _state(tx: Tx, options: argparse.Namespace) -> Report:
    state = rebuild.state(tx.conn)
    return Report(values={"state": state}, text=state)


def _assign(tx: Tx, options: argparse.Namespace) -> Report:
    staff.assign(tx, options.staff_id, options.name, options.roles, actor=options.actor)
    values = {"staff_id": options.staff_id, "roles": [*map(str, options.roles)]}
    return Report(values=values, text=f"{options.staff_id}: {', '.join(options.roles) or 'no role'}")


def _assign_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("staff_id", help="staff number in the certificate's subject (serialNumber)")
    parser.add_argument("roles", nargs="*", type=Role, help=f"roles, of {', '.join(Role)}; without one the access ends")
    parser.add_argument("--name", required=True)


SERVICE: Final = Service(
    name="desk",
    purpose="The CA's desk: certificates, timelines, held events and PIN Envelopes for staff.",
    read_settings=read_settings,
    make_app=make_app,
    subscriptions=make_subscriptions,
    tasks=lambda pool: (),
    migrations=MIGRATIONS,
    commands={
        "assign": OperatorCommand(
            help="assign roles to a member of staff", run=in_transaction(_assign), add_arguments=_assign_arguments
        ),
        "rebuild": OperatorCommand(help="rebuild the desk's projection from the topics", run=_rebuild),
        "state": OperatorCommand(help="print a hash of the desk's projection", run=in_transaction(_state)),
    },
)

if __name__ == "__main__":
    run(SERVICE)
