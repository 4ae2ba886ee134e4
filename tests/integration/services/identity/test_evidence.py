"""Evidence: stored permanently, and verifiable with openssl alone years later."""

import json
import re
import subprocess
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from flask.testing import FlaskClient

from services.identity import crl_store, evidence
from services.identity.refusals import EvidenceNotFound
from shared.db import Pool
from shared.tx import transaction
from tests.integration.services.identity.conftest import CHAN, Clock, attest, good, take_crls
from tests.unit.services.identity.builders import CRL, NOW, make_crl, world

pytestmark = pytest.mark.usefixtures("enrolled", "current_crls")


def test_evidence_cannot_be_changed_by_the_running_service(http: FlaskClient, pool: Pool) -> None:
    attest(http, CHAN, good()[1])

    for change in ("UPDATE evidence SET nonce = 'x'", "DELETE FROM evidence", "DELETE FROM evidence_crls"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), pool.connection() as conn:
            conn.execute(change)


def exported(http: FlaskClient, pool: Pool, folder: Path) -> str:
    answer = attest(http, CHAN, good()[1])
    assert answer.json is not None
    with pool.connection() as conn:
        return evidence.export(conn, uuid.UUID(answer.json["evidence_id"]), folder)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def test_exported_evidence_is_verified_by_openssl_alone(http: FlaskClient, pool: Pool, tmp_path: Path) -> None:
    command = exported(http, pool, tmp_path)

    checked = run(command, tmp_path)

    assert checked.returncode == 0, checked.stderr
    assert "erification successful" in checked.stderr
    assert run("sh verify.sh", tmp_path).returncode == 0


def _keep(file: Path, kind: str) -> None:
    """Keep only the PEM blocks of one kind."""
    blocks = re.findall(rf"-----BEGIN {kind}-----.*?-----END {kind}-----\n", file.read_text(), re.DOTALL)
    assert blocks
    file.write_text("".join(blocks))


SPOILED: dict[str, Callable[[Path], object]] = {
    "the document": lambda folder: (folder / "document.json").write_bytes(b"{}"),
    "the CRLs": lambda folder: _keep(folder / "chain-and-crls.pem", "CERTIFICATE"),
    "the anchor": lambda folder: _keep(folder / "chain-and-crls.pem", "X509 CRL"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_damaged_evidence_fails_verification(
    http: FlaskClient, pool: Pool, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    command = exported(http, pool, tmp_path)
    spoil(tmp_path)

    assert run(command, tmp_path).returncode != 0


def test_decision_is_exported_with_its_evidence(http: FlaskClient, pool: Pool, tmp_path: Path) -> None:
    exported(http, pool, tmp_path)

    decision = json.loads((tmp_path / "decision.json").read_text())

    assert decision["outcome"] == "accepted"
    assert datetime.fromisoformat(decision["verified_at"]) == NOW
    assert len(decision["crls"]) == 2


def test_unknown_evidence_is_refused(pool: Pool, tmp_path: Path) -> None:
    with pool.connection() as conn, pytest.raises(EvidenceNotFound):
        evidence.export(conn, uuid.uuid4(), tmp_path)


def test_evidence_keeps_its_crls_when_newer_ones_come(
    http: FlaskClient, pool: Pool, clock: Clock, tmp_path: Path
) -> None:
    command = exported(http, pool, tmp_path / "before")
    later = NOW + timedelta(hours=1)
    clock.now = later
    newer = CRL(number=2, this_update=later, next_update=later + timedelta(hours=24))
    take_crls(
        pool, clock, make_crl(world().root, newer), make_crl(world().sub, newer), make_crl(world().sibling, newer)
    )
    with transaction(pool, clock=clock) as tx:
        pruned = crl_store.prune_crls(tx.conn, later + timedelta(days=1))
        evidence_id = json.loads((tmp_path / "before" / "decision.json").read_text())["evidence_id"]
        assert evidence.export(tx.conn, uuid.UUID(evidence_id), tmp_path / "after") == command

    assert pruned == 1, "the sibling's old one, which no evidence needs"
    assert run(command, tmp_path / "after").returncode == 0
