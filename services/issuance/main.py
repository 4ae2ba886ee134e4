"""Composition root of issuance: builds all dependencies and runs one process or command."""

import argparse
import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization

from services.issuance import (
    certificate_store,
    check_caa,
    domain_store,
    extracts,
    handlers,
    log_watch,
    operator_checks,
    pin_reissue,
    pin_store,
    publication_probe,
    revocation,
    self_audit,
    site_probe,
    state_recovery,
    store,
    transparency_main,
    validate_main,
    waiting_cancellations,
    work,
)
from services.issuance.ca import lint
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.crl import RevocationReason
from services.issuance.ca.pkcs11_signer import MAX_SIGNING_TIME, TokenSigner
from services.issuance.ca.profiles import Addresses
from services.issuance.ca.signer import Signer, SoftwareSigner, throwaway_like
from services.issuance.ca.weak_keys import ListedKeys, NoList, WeakKeys
from services.issuance.certificate_issuance import LEASE
from services.issuance.ct.submission import DEADLINE
from services.issuance.feed import main as feed
from services.issuance.feed.store import FEED, UNSTAMPED, UNSTAMPED_QUERY
from services.issuance.issuer import Issuer
from services.issuance.key_policy import KeyPolicy
from services.issuance.pin_orders import PINLimits
from services.issuance.pin_reissue import VoidReason
from services.issuance.pins.envelope_encryption import load_print_certificate
from services.issuance.pins.pins import Pepper, PINVerifier
from services.issuance.publication import Publication
from services.issuance.publication_probe import Expected
from services.issuance.settings import Settings, read_service_settings, read_settings
from services.issuance.signing_validation import IssuanceDeps
from services.issuance.work import PINMaker
from shared.db import Pool
from shared.events.base import Topic
from shared.messaging.feed import Feed
from shared.messaging.record import Record
from shared.messaging.subscriptions import Subscription
from shared.pki.serials import read_serial
from shared.runtime import processes
from shared.runtime.command_line import run
from shared.runtime.database_gauges import OLDEST_DUE, Reading
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.runtime.service import Command, Service
from shared.runtime.task_loop import Task, require_lease
from shared.security.proofs import ProofKeys
from shared.security.tokens import KeySet, SigningKey
from shared.settings import SettingsError
from shared.tx import Tx
from shared.validation import texts
from shared.web.idempotency import FingerprintKey

if TYPE_CHECKING:
    import flask

    from shared.operators.operator_api import Operations


def make_app(pool: Pool) -> "flask.Flask":
    """Return the WSGI app."""
    # Only the web process imports Flask.
    from services.issuance import api
    from shared.validation.parsing_pool import Pool as ParsingPool
    from shared.web.app import create_app

    settings = read_settings()
    ca = IssuingCA.load(settings.ca_certificate_file, settings.ca_chain_file)
    return create_app(
        "issuance",
        blueprints=[api.blp],
        problem_table=api.PROBLEMS,
        pool=pool,
        keys=KeySet.load(settings.service.identity_jwks_file),
        fingerprints=FingerprintKey.load(settings.service.fingerprint_key_file),
        deps=api.Deps(
            ca=ca,
            pin_verifier=PINVerifier(Pepper.load(settings.pin_pepper_file)),
            pin_limits=PINLimits(new_pins=settings.new_pins, post=timedelta(days=settings.pin_post_days)),
            key_policy=_key_policy(settings, ca),
            domain_rules=validate_main.domain_rules(settings),
            parser=ParsingPool(["services.issuance.csr.csr"]),
            sign_in_max_age=settings.revocation_sign_in_max_age,
            publication=Publication.load(
                crl_url=settings.crl_url, ca_issuers_url=settings.ca_issuers_url, folder=settings.publication_folder
            ),
        ),
    )


def make_subscriptions() -> Sequence[Subscription]:
    """Return the subscriptions with the real keys."""
    return handlers.subscriptions(keys=_proof_keys(read_settings()))


def tasks(pool: Pool) -> Sequence[tuple[str, Task]]:
    """Return the background tasks of the work process."""
    # Each step of an intent renews its lease.
    require_lease("issue", LEASE, calls=max(MAX_SIGNING_TIME, DEADLINE))
    settings = read_settings()
    maker = PINMaker(
        pepper=Pepper.load(settings.pin_pepper_file),
        print_certificate=load_print_certificate(settings.print_certificate_file.read_bytes()),
    )
    deps = make_deps(settings)
    lint.warm_up()
    return [
        ("seal-pin", partial(work.seal_next_pin, pool, maker)),
        ("issue", partial(work.issue_next, pool, deps)),
        ("publish-crl", partial(work.publish_next_crl, pool, deps.issuer)),
        ("answer-cancellation", waiting_cancellations.answerer(pool)),
    ]


def make_deps(settings: Settings) -> IssuanceDeps:
    """Return the real dependencies of issuing.

    Raises ValueError if the CA's key cannot be used, or a key file's key is not the certificate's.
    """
    ca = IssuingCA.load(settings.ca_certificate_file, settings.ca_chain_file)
    signer = _signer(settings, ca)
    issuer = Issuer(
        ca=ca,
        signer=signer,
        throwaway=throwaway_like(signer),
        addresses=Addresses(
            crl_url=settings.crl_url, ca_issuers_url=settings.ca_issuers_url, own_policy_oid=settings.own_policy_oid
        ),
        site_prefix=settings.serial_site_prefix,
        random=secrets.token_bytes,
    )
    return IssuanceDeps(
        issuer=issuer,
        logs=transparency_main.make_logs(settings),
        proof_keys=_proof_keys(settings),
        key_policy=_key_policy(settings, ca),
        domain_rules=validate_main.domain_rules(settings),
    )


def _signer(settings: Settings, ca: IssuingCA) -> Signer:
    if settings.ca_token is not None:
        return TokenSigner(settings.ca_token, ca.certificate.public_key())
    assert settings.ca_key_file is not None  # ensured by the settings
    signer = SoftwareSigner.load(settings.ca_key_file)
    ca.check_signer(signer)
    return signer


def _proof_keys(settings: Settings) -> ProofKeys:
    return ProofKeys(
        identity=KeySet.load(settings.service.identity_jwks_file),
        application=KeySet.load(settings.application_jwks_file),
        payment=KeySet.load(settings.payment_jwks_file),
    )


def _operations() -> "Operations":
    from services.issuance import operator_api  # as above

    return operator_api.OPERATIONS


def _put_back(pool: Pool, recovery_id: int, actor: str) -> list[str]:
    from shared.messaging import consumer, kafka_clients  # by processes that use Kafka only

    settings = read_settings()

    def read() -> Iterator[list[Record]]:
        for batch in kafka_clients.read_all(settings.service.kafka, "issuance-put-back", [Topic.APPLICATION.value]):
            yield [*map(consumer.record_of, batch)]

    return state_recovery.put_back(pool, recovery_id, read, keys=_proof_keys(settings), actor=actor)


def _feed() -> Feed:
    settings = read_settings()
    if settings.feed_key_file is None or settings.feed_jwks_file is None:
        raise SettingsError("FEED_KEY_FILE, FEED_JWKS_FILE: the relay signs what it sends to the feed")
    return Feed.load(FEED, key_file=settings.feed_key_file, jwks_file=settings.feed_jwks_file)


def _key_policy(settings: Settings, ca: IssuingCA) -> KeyPolicy:
    spki = ca.certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPolicy(
        own=sha256(spki).digest(), allow_reuse=settings.allow_key_reuse, weak_keys=_weak_keys(settings.weak_keys_file)
    )


def _policy() -> KeyPolicy:
    settings = read_settings()
    return _key_policy(settings, IssuingCA.load(settings.ca_certificate_file, settings.ca_chain_file))


def _published() -> Expected:
    settings = read_settings()
    ca = IssuingCA.load(settings.ca_certificate_file, settings.ca_chain_file)
    return Expected(ca=ca, crl_url=settings.crl_url, ca_issuers_url=settings.ca_issuers_url)


def _weak_keys(path: Path | None) -> WeakKeys:
    if path is None:
        return NoList()
    try:
        return ListedKeys.load(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"WEAK_KEYS_FILE: {error}") from error


def _revoke(tx: Tx, options: argparse.Namespace) -> Report:
    reason = RevocationReason(options.reason)
    certificate = revocation.revoke_serial(tx, read_serial(options.serial), reason, options.actor)
    if certificate.revoked_at is None:
        text = f"{certificate.serial} has expired; its key is blocked"
    else:
        text = f"{certificate.serial} revoked at {certificate.revoked_at}: {certificate.revocation_reason}"
    shown = {name: getattr(certificate, name) for name in ("serial", "revoked_at")}
    return Report(values=shown | {"reason": certificate.revocation_reason}, text=text)


def _block_key(tx: Tx, options: argparse.Namespace) -> Report:
    revoked = revocation.block_key(tx, options.spki_sha256, source=options.source, actor=options.actor)
    return Report(values={"revoked": revoked}, text=f"key blocked; certificates revoked: {revoked}")


def _reissue_pin(tx: Tx, options: argparse.Namespace) -> Report:
    reason = VoidReason(options.reason)
    envelope_id = pin_reissue.reissue_pin(tx, options.order, options.server_name, reason, options.actor)
    text = f"the PIN is void; envelope {envelope_id} will be made"
    return Report(values={"envelope_id": str(envelope_id)}, text=text)


def _sha256(text: str) -> bytes:
    digest = bytes.fromhex(texts.compact(text).replace(":", ""))
    if len(digest) != 32:
        raise ValueError("not a SHA-256 digest")
    return digest


def _revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("serial", help="serial number in hexadecimal, as openssl or a browser shows it")
    parser.add_argument("--reason", choices=[reason.value for reason in RevocationReason], default="unspecified")


def _block_key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spki_sha256", type=_sha256, help="SHA-256 of the public key (SPKI), in hexadecimal")
    parser.add_argument("--source", required=True, help="source of the report of the compromise")


def _reissue_pin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("order", help="reference number or item id of the order")
    parser.add_argument("server_name")
    parser.add_argument("--reason", required=True, choices=[reason.value for reason in VoidReason])


def _run_feed() -> None:
    feed.run(SERVICE.files())


def _run_validate() -> None:
    processes.run_task_process(SERVICE, "validate", validate_main.tasks, threads=validate_main.THREADS)


SERVICE: Final[Service] = Service(
    name="issuance",
    purpose="PINs, CSRs, certificates and CRLs.",
    read_settings=read_service_settings,
    make_app=make_app,
    subscriptions=make_subscriptions,
    tasks=tasks,
    migrations=Path(__file__).parent / "migrations",
    extracts=extracts.TABLES,
    pruning=(pin_store.SEALED_PINS, certificate_store.CRLS, domain_store.FAILED_CHECKS),
    readings=(
        Reading(gauge=OLDEST_DUE, query=store.OLDEST_DUE),
        Reading(gauge=OLDEST_DUE, query=domain_store.OLDEST_DUE),
        Reading(gauge=UNSTAMPED, query=UNSTAMPED_QUERY),
        *log_watch.READINGS,
        Reading(gauge=work.CRL_AGE, query=certificate_store.CRL_AGE),
    ),
    feed=_feed,
    operations=_operations,
    after_recall=_put_back,
    commands={
        **operator_checks.commands(_policy, transparency_main.read_log_list),
        "check-caa": check_caa.command(validate_main.make_deps),
        "check-publication": publication_probe.command(_published),
        "check-test-sites": site_probe.command(lambda: _published().ca),
        **transparency_main.COMMANDS,
        "self-audit": self_audit.command(
            lambda: SigningKey.load(read_settings().service.audit_key_file), transparency_main.read_log_list
        ),
        "feed": Command(help="serve the feed over HTTP", run=_run_feed),
        "validate": Command(help="have the perspectives look at domains; has no CA key", run=_run_validate),
        "register-reader": OperatorCommand(
            help="register the client certificate of a feed reader",
            run=in_transaction(feed.register),
            add_arguments=feed.register_arguments,
        ),
        "withdraw-reader": OperatorCommand(
            help="withdraw a feed reader's certificate, for good",
            run=in_transaction(feed.withdraw),
            add_arguments=feed.withdraw_arguments,
        ),
        "readers": OperatorCommand(help="list the feed's readers", run=in_transaction(feed.list_readers)),
        "revoke": OperatorCommand(
            help="revoke a certificate", run=in_transaction(_revoke), add_arguments=_revoke_arguments
        ),
        "block-key": OperatorCommand(
            help="block a key for good, and revoke its certificates",
            run=in_transaction(_block_key),
            add_arguments=_block_key_arguments,
        ),
        "reissue-pin": OperatorCommand(
            help="void a server name's PIN, and have another one made and posted",
            run=in_transaction(_reissue_pin),
            add_arguments=_reissue_pin_arguments,
        ),
    },
)

if __name__ == "__main__":
    run(SERVICE)
