"""Webhooks of the sandbox, signed as Standard Webhooks specifies, retried until the merchant answers 2xx."""

import base64
import hashlib
import hmac
import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import urllib3

from devtools.payment_sandbox import faults
from devtools.payment_sandbox.store import Store

MIN_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 60.0
# After this a delivery claimed by a process that died is due again; longer than the call's timeout.
LEASE_SECONDS: Final = 15.0
TIMEOUT: Final = urllib3.Timeout(connect=2, read=8)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Merchant:
    """Address of webhooks. `tls_name` is the name that the certificate must have when the address is a bare IP."""

    url: str
    secrets: Sequence[str]
    tls_name: str | None = None
    ca_file: str | None = None


@dataclass
class Deliverer:
    """Thread that delivers queued webhooks."""

    store: Store
    merchant: Merchant
    wake: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start delivering in the background, until the process ends."""
        threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    def _run(self) -> None:
        pool = pool_for(self.merchant)
        while True:
            self.wake.clear()
            if not self.deliver_next(pool):
                self.wake.wait(0.25)

    def deliver_next(self, pool: urllib3.PoolManager) -> bool:
        """Deliver one due webhook. Returns whether there was one."""
        with self.store.transaction() as conn:
            row = conn.execute(
                "SELECT id, webhook_id, body, attempts FROM deliveries"
                " WHERE NOT delivered AND due_at <= ? ORDER BY due_at LIMIT 1",
                (time.time(),),
            ).fetchone()
            if row is None:
                return False
            conn.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due_at = ? WHERE id = ?",
                (time.time() + LEASE_SECONDS, row["id"]),
            )
        status = self._post(pool, row)
        with self.store.transaction() as conn:
            conn.execute(
                "UPDATE deliveries SET delivered = ?, last_status = ?, due_at = ? WHERE id = ?",
                (200 <= (status or 0) < 300, status, time.time() + _pause(row["attempts"]), row["id"]),
            )
        return True

    def _post(self, pool: urllib3.PoolManager, row: sqlite3.Row) -> int | None:
        body = row["body"].encode()
        stamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "webhook-id": row["webhook_id"],
            "webhook-timestamp": stamp,
            "webhook-signature": signatures(self.merchant.secrets, row["webhook_id"], stamp, body),
        }
        if self.merchant.tls_name is not None:
            headers["host"] = self.merchant.tls_name
        try:
            answer = pool.request("POST", self.merchant.url, body=body, headers=headers, redirect=False, retries=False)
        except urllib3.exceptions.HTTPError as error:
            log.warning("webhook %s not delivered: %s", row["webhook_id"], type(error).__name__)
            return None
        return answer.status


def owe(conn: sqlite3.Connection, kind: str, session_id: str, reference: str, *, now: float) -> None:
    """Queue a webhook in the transaction of its cause; faults may lose, double or delay it."""
    webhook_id = "msg_" + secrets.token_hex(12)
    body = json.dumps({"type": kind, "timestamp": int(now), "data": {"session_id": session_id, "reference": reference}})
    fault = faults.take(conn, "webhook")
    if fault is not None and fault.kind == "lost":
        return
    due_at = now + fault.seconds if fault is not None and fault.kind == "delayed" else now
    for _ in range(2 if fault is not None and fault.kind == "doubled" else 1):
        conn.execute("INSERT INTO deliveries (webhook_id, body, due_at) VALUES (?, ?, ?)", (webhook_id, body, due_at))


def signatures(secret_texts: Sequence[str], webhook_id: str, stamp: str, body: bytes) -> str:
    """Return the webhook-signature header: one v1 signature for each secret, so that secrets can be rotated."""
    message = b".".join((webhook_id.encode(), stamp.encode(), body))
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_key(text), message, hashlib.sha256)).decode() for text in secret_texts
    )


def _key(secret_text: str) -> bytes:
    return base64.b64decode(secret_text.removeprefix("whsec_"), validate=True)


def _pause(attempts: int) -> float:
    return min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2.0 ** min(attempts, 10))


def pool_for(merchant: Merchant) -> urllib3.PoolManager:
    """Return connections to the merchant; over TLS only to the agreed name."""
    if urlsplit(merchant.url).scheme != "https":
        return urllib3.PoolManager(timeout=TIMEOUT)
    return urllib3.PoolManager(
        timeout=TIMEOUT,
        ca_certs=merchant.ca_file,
        server_hostname=merchant.tls_name,
        assert_hostname=merchant.tls_name,
    )
