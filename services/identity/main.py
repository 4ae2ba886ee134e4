"""Composition root of identity: builds all dependencies and runs one process or command."""

import argparse
import json
import uuid
from collections.abc import Sequence
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
    evidence_commands,
    evidence_store,
    extracts,
    store,
    work,
)
from services.identity.settings import read_service_settings, read_settings, read_trust
from shared.db import Pool
from shared.pki.crls import issuer_id
from shared.runtime.command_line import run
from shared.runtime.database_gauges import Reading
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.runtime.service import CommandGroup, Service
from shared.runtime.task_loop import Task, require_lease
from shared.security.tokens import KeySet, SigningKey
from shared.tx import Tx, transaction
from shared.vocabulary import ARId
from shared.web import client_certificate
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from shared.operators.operator_api import Operations


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app."""
    # Only the web process imports Flask.
    from services.identity import api
    from shared.validation.parsing_pool import Pool as ParsingPool
    from shared.web.app import create_app

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
    return create_app(
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
    require_lease("refresh-crls", work.LEASE, calls=crl_sources.MAX_CALL_TIME)
    settings = read_settings()
    trust = read_trust(settings)
    with transaction(pool) as tx:
        crl_store.save_sources(tx.conn, settings.crl_sources, tx.now)
        crl_store.pin_issuers(tx.conn, {issuer_id(each): certificates.common_name(each) for each in trust.issuers})
    every = timedelta(seconds=settings.crl_refresh_seconds)
    return [("refresh-crls", partial(work.refresh_next, pool, trust=trust, every=every))]


def _operations() -> "Operations":
    # Only the operate process imports Flask.
    from services.identity import operator_api

    return operator_api.OPERATIONS


def _enrol(pool: Pool, options: argparse.Namespace) -> Report:
    subscribers, ars = enrolment.enrol(pool, enrolment.read_file(options.file), options.actor)
    text = f"enrolled {subscribers} subscribers with {ars} Authorised Representatives"
    return Report(values={"subscribers": subscribers, "ars": ars}, text=text)


def _revoke_ar(tx: Tx, options: argparse.Namespace) -> Report:
    enrolment.revoke(tx, ARId(options.ar_id), options.reason, options.actor)
    return Report(values={"revoked": options.ar_id}, text=f"{options.ar_id} no longer acts")


def _replace_ar(pool: Pool, options: argparse.Namespace) -> Report:
    successor = enrolment.read_ar(options.file)
    with transaction(pool) as tx:
        after = enrolment.replace(tx, ARId(options.ar_id), successor, options.reason, options.actor)
    values = {"revoked": options.ar_id, "enrolled": after.id}
    return Report(values=values, text=f"{after.id} acts in place of {options.ar_id}")


def _evidence(tx: Tx, options: argparse.Namespace) -> Report:
    command = evidence.export(tx.conn, options.evidence_id, options.folder)
    return Report(values={"folder": str(options.folder), "command": command}, text=f"cd {options.folder} && {command}")


def _after_recall(pool: Pool, recovery_id: int, actor: str) -> list[str]:
    keys = KeySet.load(read_service_settings().identity_jwks_file)
    return copies.restore_after_recall(pool, keys, actor=actor)


def _restore_evidence(pool: Pool, options: argparse.Namespace) -> Report:
    """Restore what `recall` could not. The report is a failure if anything is left for a person."""
    settings = read_settings()
    checks = copies.Checks(
        keys=KeySet.load(settings.service.identity_jwks_file),
        trust=read_trust(settings),
        lists={} if options.crls is None else copies.find_lists(options.crls),
    )
    found = copies.restore(pool, checks, actor=options.actor)
    lines = [
        f"known {found.known}, restored {found.restored}, refused {len(found.refused)}",
        *(f"without its revocation list: {each}" for each in found.lists_missing),
        *(f"not restored: {each}" for each in found.refused),
    ]
    values = {
        "known": found.known,
        "restored": found.restored,
        "lists_missing": [*map(str, found.lists_missing)],
        "refused": [*map(str, found.refused)],
    }
    return Report(values=values, text="\n".join(lines), failed=bool(found.refused))


def _restore_evidence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--crls", type=Path, help="a folder with revocation lists that the database lost")


def _enrol_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)


def _revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ar_id")
    parser.add_argument("--reason", required=True)


def _replace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ar_id", help="id of the AR whose office ends")
    parser.add_argument("file", type=Path, help="file with the successor: one AR as in an enrolment file")
    parser.add_argument("--reason", required=True)


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
    after_recall=_after_recall,
    operations=_operations,
    readings=(
        Reading(gauge=work.THIS_UPDATE, query=crl_store.THIS_UPDATES),
        Reading(gauge=work.USABLE_UNTIL, query=crl_store.USABLE_UNTIL),
        Reading(gauge=work.EVIDENCE_LAPSING, query=evidence_store.LAPSING),
    ),
    commands={
        "enrol": OperatorCommand(
            help="enrol subscribers and ARs from a file; again after an interruption",
            run=_enrol,
            add_arguments=_enrol_arguments,
            max_size=2,  # one of the connections holds the enrolment's lock
            while_recovering=True,
        ),
        "revoke-ar": OperatorCommand(
            help="end an AR's office",
            run=in_transaction(_revoke_ar),
            add_arguments=_revoke_arguments,
            while_recovering=True,
        ),
        "replace-ar": OperatorCommand(
            help="end an AR's office and appoint another",
            run=_replace_ar,
            add_arguments=_replace_arguments,
            while_recovering=True,
        ),
        "renew-evidence": CommandGroup(
            help="renew the evidence of organisations and of ARs' authority", commands=evidence_commands.commands()
        ),
        "evidence": OperatorCommand(
            help="export the evidence of a signature",
            run=in_transaction(_evidence),
            add_arguments=_evidence_arguments,
        ),
        "restore-evidence": OperatorCommand(
            help="after `recall`: restore the evidence that it could not, or lost revocation lists",
            run=_restore_evidence,
            add_arguments=_restore_evidence_arguments,
        ),
    },
)

if __name__ == "__main__":
    run(SERVICE)
