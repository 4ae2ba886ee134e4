"""Validation of an order before its certificate is signed: every check between an accepted CSR and the CA's key."""

from dataclasses import dataclass, field, replace
from datetime import date

from cryptography import x509

from services.issuance import domain_evidence, proofs, register_evidence, store
from services.issuance.csr import csr
from services.issuance.ct.submission import Logs
from services.issuance.domain import Intent, Order, Renewal
from services.issuance.domain_evidence import DomainRules, Evidence
from services.issuance.issuer import Issuer
from services.issuance.key_policy import KeyPolicy, key_objection
from services.issuance.step_times import Step, measured
from shared.errors import Refused
from shared.events.issuance import Obstacle
from shared.pki.names import certificate_names
from shared.security.proofs import ProofKeys, ProofRefused
from shared.tx import Tx


class NamesNotExamined(Exception):
    """The bytes certify other names than those examined: a fault of ours; nothing is signed, a person is needed."""


@dataclass(frozen=True, kw_only=True)
class IssuanceDeps:
    """The CA's side of a certificate, the logs, the keys of the proofs, and the policies on keys and domains."""

    issuer: Issuer
    logs: Logs
    proof_keys: ProofKeys
    key_policy: KeyPolicy
    domain_rules: DomainRules


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Result of `validate_for_signing`: the bytes to be signed, or what forbids signing them.

    `objection` is the reason why the CSR or its key cannot be used, `evidence` is that of its names, `findings` are the
    linter's. Without a stored intent, an objection or incomplete evidence ends the validation before there are bytes.
    """

    serial: str = ""
    tbs: bytes = b""
    objection: str | None = None
    evidence: Evidence = field(default_factory=Evidence)
    findings: tuple[str, ...] = ()


def validate_for_signing(tx: Tx, order: Order, deps: IssuanceDeps, stored: Intent | None = None) -> Validated:
    """Run every check that stands between an accepted CSR and the CA's key.

    (1) both proofs, (2) the CSR and its names, (3) its key, (4) the age of the evidence in the proofs, and control and
    CAA of each name of the certificate, (5) the leaf and its bytes, made here or `stored`, (6) lint of
    the precertificate.
    Raises TokenRefused or ProofRefused if a proof no longer holds: that is no customer's fault, it waits for a person.
    Raises one of UNCERTIFIABLE if no bytes can be made.
    """
    renewal, paid_until = _proved(tx, order, deps)
    request, objection = _checked_csr(tx, order, renewal, deps)
    if request is None or (objection is not None and stored is None):
        return Validated(objection=objection)
    names = certificate_names(order.server_names)
    with measured(Step.EVIDENCE):
        evidence = _evidence(tx, renewal, names, deps.domain_rules)
    if stored is None and not evidence.complete:
        return Validated(evidence=evidence)
    # The names that were examined are the names of the certificate: the linter compares the bytes with this leaf.
    leaf = deps.issuer.leaf(
        organisation=renewal.organisation,
        names=names,
        spki=request.spki,
        now=tx.now,
        paid_until=paid_until,
        stored=stored,
    )
    tbs = deps.issuer.to_be_signed(leaf) if stored is None else stored.tbs
    with measured(Step.LINT):
        findings = deps.issuer.findings(tbs, leaf, tx.now)
    return Validated(serial=f"{leaf.serial:x}", tbs=tbs, objection=objection, evidence=evidence, findings=findings)


def require_examined(tbs: bytes, evidence: Evidence, issuer: Issuer) -> None:
    """Check that the names whose control and CAA were examined are those that the bytes certify (BR 3.2.2.4, 3.2.2.8).

    Call it before bytes are stored or given to be signed. Raises NamesNotExamined.
    """
    certified = issuer.names(tbs)
    if set(certified) != set(map(x509.DNSName, evidence.names)):
        raise NamesNotExamined(f"{', '.join(str(each.value) for each in certified)}: {', '.join(evidence.names)}")


def _evidence(tx: Tx, renewal: Renewal, names: tuple[str, ...], rules: DomainRules) -> Evidence:
    """Return what is missing, for the names and, once for all of them, in the register's evidence."""
    found = domain_evidence.examine(tx.conn, renewal.subscriber_id, names, tx.now, rules)
    if (lapsed := register_evidence.evidence_objection(renewal, tx.now)) is None:
        return found
    return replace(found, obstacles=(Obstacle(server_name=names[0], kind="evidence", reason=lapsed), *found.obstacles))


def _proved(tx: Tx, order: Order, deps: IssuanceDeps) -> tuple[Renewal, date | None]:
    """Verify the renewal's proofs again: renewal and order must still equal them. Returns the last paid day, too."""
    stored = store.find_renewal(tx.conn, order.renewal_id)
    assert stored is not None
    renewal, orders = proofs.verified(
        tx,
        order.renewal_id,
        document=stored.document,
        attestation=stored.attestation,
        receipt=stored.receipt,
        keys=deps.proof_keys,
    )
    ordered = {(o.item_id, o.reference, o.srn, o.product, o.server_names, o.reissue): o.paid_until for o in orders}
    key = (order.item_id, order.reference, order.srn, order.product, order.server_names, order.reissue)
    if renewal != stored or key not in ordered:
        raise ProofRefused("the stored order is not what the proofs say")
    return renewal, ordered[key]


def _checked_csr(tx: Tx, order: Order, renewal: Renewal, deps: IssuanceDeps) -> tuple[csr.CSR | None, str | None]:
    """Return the order's CSR, None if it cannot be read, and the objection to it or its key, if there is one."""
    assert order.csr is not None
    request = None
    try:
        request = csr.read_der(order.csr)
        csr.check_names(request, order.server_names)
    except Refused as refused:
        return request, refused.reason
    return request, key_objection(tx.conn, request, order.item_id, renewal.subscriber_id, deps.key_policy)
