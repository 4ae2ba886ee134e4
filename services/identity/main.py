"""Composition root of identity: builds all dependencies and runs one process or command."""

import argparse
import json
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from services.identity import (
    certificates,
    copies,
    crl_sources,
    crl_store,
    enrolment,
    evidence,
    extracts,
    store,
    work,
)
from services.identity.settings import read_service_settings, read_settings, read_trust
from shared.db import Pool
from shared.errors import Refused
from shared.pki.crls import issuer_id
from shared.runtime.database_gauges import Reading
from shared.runtime.service import Command, Service, open_current_pool, run
from shared.runtime.task_loop import Task, require_lease
from shared.security.tokens import KeySet, SigningKey
from shared.tx import Tx, transaction
from shared.vocabulary import ARId
from shared.web import client_certificate
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app."""
    # Only the web process imports Flask.
    from services.identity import api
    from shared.validation.parsing_pool import Pool as ParsingPool
    from shared.web import request

    settings = read_settings()
    client_certificate.require_gateway_only(settings.service.web)
    jwks = json.loads(settings.service.identity_jwks_file.read_text("utf-8"))
    deps = api.Deps(
        trust=read_trust(settings),
        key=SigningKey.load(settings.signing_key_file),
        application_keys=KeySet.load(settings.application_jwks_file),
        jwks=jwks,
        redirect_uris=settings.redirect_uris,
        origin=settings.origin,
        parser=ParsingPool(["services.identity.reading"]),
    )
    return request.create_app(
        "identity",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=KeySet.parse(jwks),
        fingerprints=FingerprintKey.load(settings.service.fingerprint_key_file),
        deps=deps,
    )


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the background tasks of the work process."""
    require_lease("refresh-crls", work.LEASE, calls=crl_sources.LONGEST_CALL)
    settings = read_settings()
    trust = read_trust(settings)
    with transaction(pool) as tx:
        crl_store.save_sources(tx.conn, settings.crl_sources, tx.now)
        crl_store.pin_issuers(tx.conn, {issuer_id(each): certificates.common_name(each) for each in trust.issuers})
    every = timedelta(seconds=settings.crl_refresh_seconds)
    return [("refresh-crls", partial(work.refresh_next, pool, trust=trust, every=every))]


def _operate(name: str, act: Callable[[argparse.Namespace, Tx], str]) -> Callable[[argparse.Namespace], None]:
    """Return a command that runs in one transaction; a refusal is one line."""

    def command(options: argparse.Namespace) -> None:
        pool = open_current_pool(SERVICE, read_service_settings(), name, max_size=1)
        try:
            with transaction(pool) as tx:
                said = act(options, tx)
        except Refused as refused:
            raise SystemExit(f"{refused.reason}: {refused}") from refused
        finally:
            pool.close()
        print(said)

    return command


def _enrol(options: argparse.Namespace, tx: Tx) -> str:
    subscribers, ars = enrolment.enrol(tx, enrolment.read_file(options.file), options.actor)
    return f"enrolled {subscribers} subscribers with {ars} Authorised Representatives"


def _revoke_ar(options: argparse.Namespace, tx: Tx) -> str:
    enrolment.revoke(tx, ARId(options.ar_id), options.reason, options.actor)
    return f"{options.ar_id} no longer acts"


def _replace_ar(options: argparse.Namespace, tx: Tx) -> str:
    successor = enrolment.read_ar(options.file)
    after = enrolment.replace(tx, ARId(options.ar_id), successor, options.reason, options.actor)
    return f"{after.id} acts in place of {options.ar_id}"


def _evidence(options: argparse.Namespace, tx: Tx) -> str:
    command = evidence.export(tx.conn, options.evidence_id, options.folder)
    return f"cd {options.folder} && {command}"


def _restore_evidence(options: argparse.Namespace) -> None:
    """Exit status 1 if anything is left for a person."""
    settings = read_settings()
    checks = copies.Checks(
        keys=KeySet.load(settings.service.identity_jwks_file),
        trust=read_trust(settings),
        lists={} if options.crls is None else copies.find_lists(options.crls),
    )
    with open_current_pool(SERVICE, settings.service, "restore-evidence", max_size=1) as pool:
        found = copies.restore(pool, checks, actor=options.actor)
    print(f"known {found.known}, restored {found.restored}, refused {len(found.refused)}")
    for line in found.lists_missing:
        print(f"without its revocation list: {line}")
    if found.refused:
        raise SystemExit("\n".join(f"not restored: {each}" for each in found.refused))


def _restore_evidence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--crls", type=Path, help="a folder with revocation lists that the database lost")
    _actor(parser)


def _actor(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument("--actor", required=default is None, default=default, help="name for the audit log")


def _enrol_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    _actor(parser, default="operator")


def _revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ar_id")
    parser.add_argument("--reason", required=True)
    _actor(parser)


def _replace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ar_id", help="id of the AR whose office ends")
    parser.add_argument("file", type=Path, help="file with the successor: one AR as in an enrolment file")
    parser.add_argument("--reason", required=True)
    _actor(parser)


def _evidence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("evidence_id", type=uuid.UUID)
    parser.add_argument("folder", type=Path)


SERVICE = Service(
    name="identity",
    purpose="Who may act for a subscriber; signs them in, verifies what they sign and keeps the evidence.",
    read_settings=read_service_settings,
    make_app=make_app,
    tasks=tasks,
    migrations=Path(__file__).parent / "migrations",
    extracts=extracts.TABLES,
    pruning=(store.COPIES,),
    readings=(
        Reading(gauge=work.THIS_UPDATE, query=crl_store.THIS_UPDATES),
        Reading(gauge=work.USABLE_UNTIL, query=crl_store.USABLE_UNTIL),
    ),
    commands={
        "enrol": Command(
            help="enrol subscribers and ARs from a file", run=_operate("enrol", _enrol), add_arguments=_enrol_arguments
        ),
        "revoke-ar": Command(
            help="end an AR's office", run=_operate("revoke-ar", _revoke_ar), add_arguments=_revoke_arguments
        ),
        "replace-ar": Command(
            help="end an AR's office and appoint another",
            run=_operate("replace-ar", _replace_ar),
            add_arguments=_replace_arguments,
        ),
        "evidence": Command(
            help="export the evidence of a signature",
            run=_operate("evidence", _evidence),
            add_arguments=_evidence_arguments,
        ),
        "restore-evidence": Command(
            help="after a restore and `recall`: restore the signature evidence from its copies",
            run=_restore_evidence,
            add_arguments=_restore_evidence_arguments,
        ),
    },
)

if __name__ == "__main__":
    run(SERVICE)
