"""Adapter of the provider port for the sandbox's API: bounded waits, permanent and temporary failures."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import requests

from services.payment.domain import (
    Checkout,
    Decline,
    Payment,
    ProviderRefund,
    Refund,
    RefundStatus,
    Session,
    SessionStatus,
)
from services.payment.refusals import ProviderRefused, ProviderUnavailable

CONNECT_TIMEOUT_SECONDS: Final = 2.0
READ_TIMEOUT_SECONDS: Final = 5.0
# Total time for reading an answer, even if single bytes keep arriving. Leases outlast four calls.
CALL_TIMEOUT_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 256 * 1024
# Statuses that concern the connection or our account, not the request: the next attempt may succeed.
_TEMPORARY: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)

Json = Mapping[str, object]


def _http() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy, no .netrc: the secret key is sent to the provider only
    # A connection for each call: the provider may close a kept connection while we write to it, and then the outcome is
    # unknown.
    session.headers["Connection"] = "close"
    return session


@dataclass(frozen=True, kw_only=True)
class ProviderAdapter:
    """Client of the provider at `url`. With `live_only` it refuses a provider that is a sandbox."""

    url: str
    api_key: str = field(repr=False)
    live_only: bool
    http: requests.Session = field(default_factory=_http, repr=False)

    def open_checkout(self, checkout: Checkout) -> Session:
        """See the port."""
        body = {
            "reference": str(checkout.id),
            "amount_minor": checkout.amount_minor,
            "currency": checkout.currency,
            "description": checkout.description,
            "return_url": checkout.return_url,
            "expires_at": checkout.expires_at.isoformat(),
        }
        return _session(self._post("/v1/checkout-sessions", body, key=f"{checkout.id}:checkout"))

    def find_checkout(self, checkout: Checkout) -> Session | None:
        """See the port. Several sessions under one reference of ours are a fault, not an answer."""
        found = self._call("GET", f"/v1/checkout-sessions?reference={quote(str(checkout.id))}").get("data")
        match found:
            case []:
                return None
            case [dict(one)]:
                self._require_live(one)
                return _session(one)
        raise ProviderUnavailable("the provider's answer is not one session")

    def close_checkout(self, session: Session) -> Session:
        """See the port."""
        try:
            return _session(self._post(f"{_path(session.id)}/cancel", {}, key=f"{session.reference}:close"))
        except ProviderRefused as refused:
            if refused.code != "already_paid":
                raise
        return self._retrieve(session.id)

    def capture(self, session: Session, payment: Payment) -> Session:
        """See the port."""
        body = {"amount_minor": payment.amount_minor, "currency": payment.currency}
        try:
            return _session(self._post(f"{_path(session.id)}/capture", body, key=f"{payment.id}:capture"))
        except ProviderRefused as refused:
            if refused.code != "already_captured":
                raise
        return self._retrieve(session.id)

    def refund(self, refund: Refund, session_id: str) -> ProviderRefund:
        """See the port. Always looks up our reference first.

        A provider may delete idempotency keys after a day, and a restored database does not know of earlier attempts.
        """
        if (made := self._find_refund(refund)) is not None:
            return made
        body = {
            "session_id": session_id,
            "reference": str(refund.id),
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
        }
        return _refund(self._post("/v1/refunds", body, key=f"{refund.id}:refund"))

    def _find_refund(self, refund: Refund) -> ProviderRefund | None:
        """Return the refund under our reference: the one that succeeded, else the newest.

        There are several once a person has repeated a failed refund on the provider's page.
        """
        found = self._call("GET", f"/v1/refunds?reference={quote(str(refund.id))}").get("data")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise ProviderUnavailable("the provider's answer is not a list of refunds")
        for one in found:
            self._require_live(one)
        made = [_refund(one) for one in found]
        succeeded = [one for one in made if one.status is RefundStatus.SUCCEEDED]
        if len(succeeded) > 1:
            return replace(succeeded[-1], status=RefundStatus.UNKNOWN)  # refunded twice: a person must look
        return next(iter(succeeded), made[-1] if made else None)

    def _retrieve(self, session_id: str) -> Session:
        answer = self._call("GET", _path(session_id))
        self._require_live(answer)
        return _session(answer)

    def _post(self, path: str, body: Json, *, key: str) -> Json:
        answer = self._call("POST", path, body, {"Idempotency-Key": key})
        self._require_live(answer)
        return answer

    def _require_live(self, answer: Json) -> None:
        if self.live_only and answer.get("livemode") is not True:
            raise ProviderUnavailable("the provider is a sandbox; set PAYMENT_PROVIDER_URL to the live one")

    def _call(self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        try:
            with self.http.request(
                method,
                f"{self.url}{path}",
                json=body,
                headers={"Authorization": f"Bearer {self.api_key}", **(headers or {})},
                timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                return _answer(response.status_code, _read(response))
        except requests.RequestException as error:
            raise ProviderUnavailable(f"{method} {path.partition('?')[0]}: {type(error).__name__}") from error


def _read(response: requests.Response) -> Json:
    deadline = time.monotonic() + CALL_TIMEOUT_SECONDS - CONNECT_TIMEOUT_SECONDS - READ_TIMEOUT_SECONDS
    content = b""
    for chunk in response.iter_content(MAX_ANSWER_BYTES):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
            raise ProviderUnavailable("the provider's answer is too long or too slow")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProviderUnavailable(f"the provider answered {response.status_code} without JSON") from error
    if not isinstance(answer, dict):
        raise ProviderUnavailable("the provider's answer is not an object")
    return answer


def _answer(status: int, answer: Json) -> Json:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    match answer:
        case {"error": {"code": str(code)}}:
            pass
        case _:
            code = "unknown"
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TEMPORARY:
        raise ProviderRefused(code)
    raise ProviderUnavailable(f"the provider answered {status} {code}")


def _path(session_id: str) -> str:
    return f"/v1/checkout-sessions/{quote(session_id, safe='')}"


def _session(answer: Json) -> Session:
    match answer:
        case {
            "id": str(session_id),
            "reference": str(reference),
            "status": str(status),
            "amount_minor": int(amount_minor),
            "currency": str(currency),
            "checkout_url": str(checkout_url),
            "captured_minor": int(captured_minor),
            "captured_at": captured_at,
            "declines": list(declines),
        }:
            return Session(
                id=session_id,
                reference=reference,
                status=_status(status),
                amount_minor=amount_minor,
                currency=currency,
                checkout_url=checkout_url,
                captured_minor=captured_minor,
                captured_at=None if captured_at is None else _time(captured_at),
                declines=tuple(_decline(one) for one in declines),
            )
    raise ProviderUnavailable("the provider's session cannot be read")


def _status(text: str) -> SessionStatus:
    try:
        return SessionStatus(text)
    except ValueError:
        return SessionStatus.UNKNOWN


def _decline(one: object) -> Decline:
    match one:
        case {"id": str(decline_id), "reason": str(reason)}:
            return Decline(id=decline_id, reason=reason)
    raise ProviderUnavailable("the provider's decline cannot be read")


def _refund(answer: Json) -> ProviderRefund:
    match answer:
        case {
            "id": str(refund_id),
            "reference": str(reference),
            "amount_minor": int(amount_minor),
            "currency": str(currency),
            "refunded_at": refunded_at,
            "status": str(text),
        }:
            status = RefundStatus(text) if text in {*RefundStatus} else RefundStatus.UNKNOWN
            return ProviderRefund(
                id=refund_id,
                reference=reference,
                amount_minor=amount_minor,
                currency=currency,
                status=status,
                refunded_at=_time(refunded_at) if status is RefundStatus.SUCCEEDED else None,
            )
    raise ProviderUnavailable("the provider's refund cannot be read")


def _time(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ProviderUnavailable("the provider's time cannot be read") from error
    if moment.tzinfo is None:
        raise ProviderUnavailable("the provider's time has no zone")
    return moment
