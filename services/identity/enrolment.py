"""Enrolment of subscribers, their ARs and their e-Certs, from a file of the CA's desk.

Format: {"subscribers": [{id, name, name_zh?, brn, country, state_or_province?, locality?, evidence,
"authorised_representatives": [{id, name, name_zh?, email, address: [lines], evidence, certificates?: [PEM]}]}]}, where
evidence is {verified_at (ISO 8601 with a zone), source, checker}: the last verification of the organisation's data, and
of the AR's authority. The same file may be enrolled again: nothing is duplicated, records that it does not name stay,
and evidence that was renewed meanwhile stays renewed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from marshmallow import Schema, ValidationError, fields, post_load, validate

from services.identity import certificates, records, store
from services.identity.domain import AuthorisedRepresentative, RegisterEvidence, Subscriber, newer
from services.identity.refusals import ARNotFound, CertificateRefused, EnrolmentRefused
from shared import audit
from shared.audit import Detail
from shared.db import Pool
from shared.events.identity import AuthorisedRepresentativeReplaced
from shared.messaging import outbox
from shared.pki import armour
from shared.pki.armour import CERTIFICATE_LABELS
from shared.pki.certificates import sha256
from shared.tx import Clock, Tx, transaction, utc_now
from shared.validation import texts
from shared.validation.subscriber_record import RecordRefused
from shared.vocabulary import ARId, SubscriberId

_ID = validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
# Only the form of a file; records.py has the rules for names and addresses.
_TEXT = validate.Length(1, 254)
# A batch holds its locks for some tenths of a second.
BATCH: Final = 50


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The number of a file's entries that are checked or enrolled."""

    step: str
    entries: int


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A subscriber with one of its ARs and their e-Certs; with none if the file names none."""

    subscriber: Subscriber
    person: Mapping[str, Any] | None = None
    certificates: tuple[x509.Certificate, ...] = ()


class _EvidenceSchema(Schema):
    verified_at = fields.AwareDateTime(required=True)
    source = fields.String(required=True, validate=_TEXT)
    checker = fields.String(required=True, validate=_TEXT)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> RegisterEvidence:
        """Return the evidence."""
        return RegisterEvidence(**data)


class _ARSchema(Schema):
    id = fields.String(required=True, validate=_ID)
    name = fields.String(required=True, validate=_TEXT)
    name_zh = fields.String(load_default=None, allow_none=True, validate=_TEXT)
    email = fields.String(required=True, validate=_TEXT)
    address = fields.List(fields.String(validate=_TEXT), required=True, validate=validate.Length(1, 8))
    evidence = fields.Nested(_EvidenceSchema, required=True)
    certificates = fields.List(fields.String(), load_default=list)


class _SubscriberSchema(Schema):
    id = fields.String(required=True, validate=_ID)
    name = fields.String(required=True, validate=_TEXT)
    name_zh = fields.String(load_default=None, allow_none=True, validate=_TEXT)
    brn = fields.String(required=True, validate=validate.Regexp(r"[0-9]{7,8}\Z"))
    country = fields.String(required=True, validate=validate.Regexp(r"[A-Z]{2}\Z"))
    state_or_province = fields.String(load_default=None, allow_none=True, validate=_TEXT)
    locality = fields.String(load_default=None, allow_none=True, validate=_TEXT)
    evidence = fields.Nested(_EvidenceSchema, required=True)
    authorised_representatives = fields.List(fields.Nested(_ARSchema), load_default=list)


class _FileSchema(Schema):
    subscribers = fields.List(fields.Nested(_SubscriberSchema), required=True)


def read_file(path: Path) -> dict[str, Any]:
    """Return an enrolment file's content. Raises EnrolmentRefused."""
    return _read(path, _FileSchema())


def read_ar(path: Path) -> dict[str, Any]:
    """Return one AR from a separate file. Raises EnrolmentRefused."""
    return _read(path, _ARSchema())


def _read(path: Path, schema: Schema) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(json.loads(texts.decode(path.read_bytes())))
    except (OSError, ValueError, ValidationError) as error:
        raise EnrolmentRefused(f"{path}: {error}") from error
    return loaded


def enrol(
    pool: Pool,
    content: Mapping[str, Any],
    actor: str,
    *,
    clock: Clock = utc_now,
    batch: int = BATCH,
    report: Callable[[Progress], None] = lambda _: None,
) -> tuple[int, int]:
    """Enrol all of a file or nothing. Returns the numbers of subscribers and ARs. Raises EnrolmentRefused.

    All entries are checked against the register before the first one is written. Each batch is a transaction that skips
    what is enrolled already, so the same file again resumes an interrupted enrolment. A command that changes the
    register meanwhile can still refuse a later batch: correct it, and enrol the file again. `report` is called after
    each batch.
    """
    entries = [*_entries(content)]
    _check_owners(entries)
    with _alone(pool):
        for step in ("checked", "enrolled"):
            for start in range(0, len(entries), batch):
                part = entries[start : start + batch]
                with transaction(pool, clock=clock) as tx, tx.conn.transaction(force_rollback=step == "checked"):
                    _enrol_batch(tx, part, actor)
                report(Progress(step=step, entries=start + len(part)))
    return len(content["subscribers"]), sum(each.person is not None for each in entries)


@contextmanager
def _alone(pool: Pool) -> Iterator[None]:
    """Lock out other enrolments; the lock belongs to a session, so no transaction stays open."""
    with pool.connection() as locked:
        locked.autocommit = True
        if not store.lock_enrolment(locked):
            raise EnrolmentRefused("another enrolment is running")
        try:
            yield
        finally:
            store.unlock_enrolment(locked)
            locked.autocommit = False


def _entries(content: Mapping[str, Any]) -> Iterator[_Entry]:
    """Yield a file's entries, their e-Certs parsed. Raises EnrolmentRefused."""
    for record in content["subscribers"]:
        people = record["authorised_representatives"]
        subscriber = Subscriber(
            **{name: value for name, value in record.items() if name != "authorised_representatives"}
        )
        if not people:
            yield _Entry(subscriber=subscriber)
        for person in people:
            yield _Entry(subscriber=subscriber, person=person, certificates=_certificates(person))


def _check_owners(entries: Sequence[_Entry]) -> None:
    """Check that no two entries of a file claim one AR, e-Cert or business registration number for two owners."""
    owners: dict[tuple[str, str], str] = {}
    for each in entries:
        claims = {("business registration number", each.subscriber.brn): each.subscriber.id}
        if each.person is not None:
            claims["AR", each.person["id"]] = each.subscriber.id
            claims |= {("e-Cert", sha256(held)): each.person["id"] for held in each.certificates}
        for (what, name), owner in claims.items():
            if owners.setdefault((what, name), owner) != owner:
                raise EnrolmentRefused(f"{owner}: the {what} {name} is also of {owners[what, name]}, in the same file")


def _enrol_batch(tx: Tx, entries: Sequence[_Entry], actor: str) -> None:
    for each in entries:
        _enrol_subscriber(tx, each.subscriber, actor)
        if each.person is not None:
            appoint(tx, each.person, each.certificates, each.subscriber.id, actor)


def _enrol_subscriber(tx: Tx, subscriber: Subscriber, actor: str) -> None:
    known = store.lock_subscriber(tx.conn, subscriber.id)
    if known is not None and known.with_evidence(subscriber.evidence) == subscriber:
        subscriber = subscriber.with_evidence(newer(known.evidence, subscriber.evidence))
    if known == subscriber:
        return
    try:
        records.check_subscriber(subscriber)
        _check_evidence(tx, subscriber)
    except RecordRefused as refused:
        raise EnrolmentRefused(f"{subscriber.id}: {refused}") from refused
    try:
        store.save_subscriber(tx.conn, subscriber, tx.now)
    except psycopg.errors.IntegrityError as error:
        raise EnrolmentRefused(f"{subscriber.id}: {error.diag.constraint_name}") from error
    details: dict[str, Detail] = {"brn": subscriber.brn, **_evidence_details(subscriber)}
    audit.record(tx, actor=actor, action="subscriber-enrolled", subject=subscriber.id, details=details)


def _check_evidence(tx: Tx, record: Subscriber | AuthorisedRepresentative) -> None:
    if record.evidence is not None:
        records.check_evidence(record.evidence, tx.now)


def _evidence_details(record: Subscriber | AuthorisedRepresentative) -> dict[str, Detail]:
    found = record.evidence
    if found is None:
        return {}
    return {"verified_at": found.verified_at.isoformat(), "source": found.source, "checker": found.checker}


def appoint(
    tx: Tx,
    person: Mapping[str, Any],
    held: Sequence[x509.Certificate],
    subscriber_id: SubscriberId,
    actor: str,
) -> AuthorisedRepresentative:
    """Make a person an AR of a subscriber and register their e-Certs. Raises EnrolmentRefused."""
    known = store.lock_ar(tx.conn, person["id"])
    if known is not None and known.ended_at is not None:
        raise EnrolmentRefused(f"{known.id}: their office has ended; appoint them under a new id")
    if known is not None and known.subscriber_id != subscriber_id:
        raise EnrolmentRefused(f"{known.id}: acts for {known.subscriber_id}")
    appointed_at = tx.now if known is None else known.appointed_at
    described = {name: value for name, value in person.items() if name != "certificates"}
    if known is not None:
        described["evidence"] = newer(known.evidence, person["evidence"])
    ar = AuthorisedRepresentative(subscriber_id=subscriber_id, appointed_at=appointed_at, ended_at=None, **described)
    if ar != known:
        _check_ar(tx, ar)
        store.save_ar(tx.conn, ar)
        details: dict[str, Detail] = {"subscriber": subscriber_id, **_evidence_details(ar)}
        audit.record(tx, actor=actor, action="ar-appointed", subject=ar.id, details=details)
    for certificate in held:
        _register(tx, certificate, ar.id, actor)
    return ar


def _check_ar(tx: Tx, ar: AuthorisedRepresentative) -> None:
    subscriber = store.find_subscriber(tx.conn, ar.subscriber_id)
    if subscriber is None:
        raise EnrolmentRefused(f"{ar.id}: there is no subscriber {ar.subscriber_id}")
    try:
        records.check_ar(ar, subscriber)
        _check_evidence(tx, ar)
    except RecordRefused as refused:
        raise EnrolmentRefused(f"{ar.id}: {refused}") from refused


def _register(tx: Tx, certificate: x509.Certificate, ar_id: ARId, actor: str) -> None:
    """Register an e-Cert by its hash; it is validated at each use, not here."""
    name = sha256(certificate)
    der = certificate.public_bytes(serialization.Encoding.DER)
    added = store.add_certificate(tx.conn, ar_id, name, der, tx.now)
    if added.owner != ar_id:
        raise EnrolmentRefused(f"{ar_id}: the e-Cert {name} is registered for {added.owner}")
    if added.is_new:
        audit.record(tx, actor=actor, action="certificate-registered", subject=ar_id, details={"sha256": name})


def _certificates(person: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    return tuple(map(_read_certificate, person["certificates"]))


def _read_certificate(pem: str) -> x509.Certificate:
    found = [block.der for block in armour.blocks(pem) if block.label in ("", *CERTIFICATE_LABELS)]
    if len(found) != 1:
        raise EnrolmentRefused("each entry must hold one certificate")
    try:
        return certificates.read(found[0] or b"")
    except (CertificateRefused, ValueError) as error:
        raise EnrolmentRefused(f"a certificate cannot be read: {error}") from error


def revoke(tx: Tx, ar_id: ARId, reason: str, actor: str, *, replaced_by: ARId | None = None) -> None:
    """End an AR's office: none of their e-Certs is accepted any more. Raises ARNotFound."""
    if not store.end_ar(tx.conn, ar_id, reason=reason, replaced_by=replaced_by, now=tx.now):
        raise ARNotFound(f"{ar_id}: no such Authorised Representative is in office")
    details = {"reason": reason, "replaced_by": replaced_by}
    audit.record(tx, actor=actor, action="ar-ended", subject=ar_id, details=details)


def replace(tx: Tx, ar_id: ARId, successor: Mapping[str, Any], reason: str, actor: str) -> AuthorisedRepresentative:
    """Appoint a successor, end the predecessor's office, and announce it: application moves the AR of record.

    Raises ARNotFound, EnrolmentRefused.
    """
    before = store.lock_ar(tx.conn, ar_id)
    if before is None or before.ended_at is not None:
        raise ARNotFound(f"{ar_id}: no such Authorised Representative is in office")
    after = appoint(tx, successor, _certificates(successor), before.subscriber_id, actor)
    if after.id == before.id:
        raise EnrolmentRefused(f"{ar_id}: cannot follow themselves")
    revoke(tx, ar_id, reason, actor, replaced_by=after.id)
    outbox.add(
        tx,
        AuthorisedRepresentativeReplaced(
            subscriber_id=before.subscriber_id,
            ar_id=before.id,
            successor_id=after.id,
            successor_name=after.name,
            replaced_at=tx.now,
        ),
    )
    return after
