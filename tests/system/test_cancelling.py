"""A renewal that is cancelled, in Chinese: it is refunded, the AR gets a mail, and no PIN is left lying about."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from tests.support.engines import wait_until
from tests.system.readings import events, rows


@pytest.fixture(scope="module")
def cancelled(system: Target, spare: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Paid, its letters printed, and then cancelled by its AR."""
    journey = system.journey([next(spare)], tmp_path_factory.mktemp("cancelled"))
    journey.ar.sign_in()
    journey.renewal = journey.ar.draft(journey.srns, "zh-Hant")
    journey.ar.submit(journey.id, journey.ar.sign(journey.id))
    journey.ar.pay(journey.id)
    journey.receive()
    journey.ar.post(f"/application/v1/renewals/{journey.id}/cancellation")
    journey.wait_for_event("refunded")
    yield journey
    journey.ar.close()


def test_refund_and_end_are_announced_once_in_this_order(cancelled: Journey, system: Target) -> None:
    found = events(system, cancelled.id)
    assert found["application.events"][-3:] == ["cancellation-requested", "refund-due", "renewal-cancelled"]
    assert found["payment.events"] == ["payment-captured", "payment-refunded"]


def test_ar_gets_one_mail_in_chinese_with_the_amount(cancelled: Journey) -> None:
    def both_mails() -> list[dict[str, str]] | None:
        mails = cancelled.mails()
        return mails if len(mails) == 2 else None

    end, asked = wait_for("the mail at the end", both_mails)
    assert asked["subject"] == "提交證書簽署要求（CSR） / Submission of Certificate Signing Request (CSR)"
    assert end["subject"] == f"你的電子證書（伺服器）續期申請已結束（{cancelled.renewal['reference']}）"
    for form in ("text", "html"):
        assert "這項續期已在我們的網站取消。" in end[form]
        assert f"HK${cancelled.renewal['amount_minor'] / 100:,.2f}" in end[form]


def test_letter_is_in_chinese_and_erased_unposted(cancelled: Journey, system: Target) -> None:
    """The letter leaves an open batch by itself; for a closed batch the clerk has to withdraw it."""
    [letter] = cancelled.letters
    [(envelope_id, state)] = rows(
        system, "mailing", "SELECT envelope_id, state FROM pin_envelopes WHERE renewal_id = %s", cancelled.id
    )
    if state == "printed":
        command = [
            sys.executable,
            "-m",
            "services.mailing.main",
            "withdrawn",
            str(envelope_id),
            "--reason",
            "cancelled",
            "--actor",
            "clerk",
        ]
        subprocess.run(command, env=system.mailing_environment(), check=True, capture_output=True)
    wait_until(lambda: not letter.file.exists(), limit=20, what="the letter to be erased")
    query = "SELECT state, erased_at IS NOT NULL FROM pin_envelopes WHERE renewal_id = %s"
    wait_until(lambda: rows(system, "mailing", query, cancelled.id) == [("dropped", True)], limit=20, what="its record")
