"""Processes and commands of the desk; builds all dependencies."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from backoffice.desk import projection, rebuild, staff
from backoffice.desk.projection import Keys
from backoffice.desk.rebuild import EventsMissing
from backoffice.desk.roles import Role
from backoffice.desk.settings import Settings, read_operators, read_settings
from backoffice.desk.staff import Trust
from shared.db import Pool
from shared.messaging.record import Record
from shared.messaging.subscriptions import Subscription
from shared.runtime.service import Command, Service, applier, open_current_pool, run
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet, SigningKey
from shared.tx import transaction
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
        identity=KeySet.load(settings.identity_jwks_file), payment=KeySet.load(settings.payment_jwks_file)
    )
    return projection.subscriptions(Keys(proofs=proofs, feed=lambda: KeySet.load_fresh(settings.feed_jwks_file)))


def _rebuild(options: argparse.Namespace) -> None:
    """Rebuild the projection. Exit status 1, and no change, if the topics lack events that the projection contains."""
    from shared.messaging import consumer, kafka_clients  # only processes that use Kafka import its client

    settings = read_settings()

    def read() -> Iterator[list[Record]]:
        for batch in kafka_clients.read_all(settings.kafka, "desk-rebuild", [topic.value for topic in projection.READ]):
            yield [*map(consumer.record_of, batch)]

    with open_current_pool(SERVICE, settings, "rebuild", max_size=1) as pool:
        try:
            found = rebuild.rebuild(pool, applier("desk", make_subscriptions()), read, actor=options.actor)
        except EventsMissing as missing:
            sys.exit(f"{missing.reason}: {missing}")
    print(f"events {found.events}, renewals {found.renewals}, kept {found.kept}, left out again {found.skipped}")
    print(f"before {found.before}\nafter  {found.after}")


def _state(_: argparse.Namespace) -> None:
    with open_current_pool(SERVICE, read_settings(), "state", max_size=1) as pool, transaction(pool) as tx:
        print(rebuild.state(tx.conn))


def _actor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actor", required=True, help="name for the audit log")


def _assign(options: argparse.Namespace) -> None:
    try:
        with open_current_pool(SERVICE, read_settings(), "staff", max_size=1) as pool, transaction(pool) as tx:
            staff.assign(tx, options.staff_id, options.name, options.roles, actor=options.actor)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(f"{options.staff_id}: {', '.join(options.roles) or 'no role'}")


def _assign_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("staff_id", help="staff number in the certificate's subject (serialNumber)")
    parser.add_argument("roles", nargs="*", type=Role, help=f"roles, of {', '.join(Role)}; without one the access ends")
    parser.add_argument("--name", required=True)
    _actor(parser)


SERVICE: Final = Service(
    name="desk",
    purpose="The CA's desk: certificates, time lines, held events and PIN Envelopes for staff.",
    read_settings=read_settings,
    make_app=make_app,
    subscriptions=make_subscriptions,
    tasks=lambda pool: (),
    migrations=MIGRATIONS,
    commands={
        "assign": Command(help="assign roles to a member of staff", run=_assign, add_arguments=_assign_arguments),
        "rebuild": Command(help="rebuild the desk's projection from the topics", run=_rebuild, add_arguments=_actor),
        "state": Command(help="print a hash of the desk's projection", run=_state),
    },
)

if __name__ == "__main__":
    run(SERVICE)
