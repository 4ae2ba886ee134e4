"""The mail catcher keeps mails over a restart and shows them without running them."""

import json
import smtplib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from deploy.local.waiting import free_port, is_taken, wait_until


@contextmanager
def catching(folder: Path, *, kill: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the catcher as a process; its SMTP port and the address of its page."""
    smtp_port, http_port = free_port(), free_port()
    ports = ("--smtp-port", str(smtp_port), "--http-port", str(http_port))
    command = (sys.executable, "-m", "deploy.local.mailbox", *ports, "--folder", str(folder))
    catcher = subprocess.Popen(command)
    try:
        wait_until(lambda: is_taken(smtp_port) and is_taken(http_port), limit=20, what="the catcher listens")
        yield smtp_port, f"http://127.0.0.1:{http_port}"
    finally:
        catcher.kill() if kill else catcher.terminate()
        assert catcher.wait(timeout=10) == (-9 if kill else 0)


def send(port: int, subject: str = "Submission of Certificate Signing Request (CSR)") -> None:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = "ca@example.hk", "ar@example.hk", subject
    mail["Message-ID"] = "<1@example.hk>"
    mail.set_content("Text 陳美玲 <b>not bold</b>")
    mail.add_alternative("<p>Wörter</p><script>alert(1)</script>", subtype="html")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(mail)


def get(url: str) -> tuple[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode(), answer.headers


def mails(page: str) -> list[dict[str, Any]]:
    caught = json.loads(get(f"{page}/api/email")[0])
    assert isinstance(caught, list)
    return caught


def test_mail_is_shown_as_json_with_text_and_html(tmp_path: Path) -> None:
    with catching(tmp_path / "mail") as (port, page):
        send(port)
        (mail,) = mails(page)
    assert mail["subject"] == "Submission of Certificate Signing Request (CSR)"
    assert mail["message_id"] == "<1@example.hk>"
    assert mail["to"] == ["ar@example.hk"]
    assert "陳美玲" in mail["text"]
    assert "Wörter" in mail["html"]


def test_mails_survive_a_kill(tmp_path: Path) -> None:
    with catching(tmp_path / "mail", kill=True) as (port, _):
        send(port, "first")
    with catching(tmp_path / "mail") as (port, page):
        send(port, "second")
        assert [mail["subject"] for mail in mails(page)] == ["second", "first"]


def test_markup_of_a_mail_is_neither_run_nor_loaded(tmp_path: Path) -> None:
    with catching(tmp_path / "mail") as (port, page):
        send(port, "<script>alert(2)</script>")
        (mail,) = mails(page)
        listing, _ = get(page)
        shown, _ = get(f"{page}/mail/{mail['id']}")
        _, headers = get(f"{page}/mail/{mail['id']}/html")
    assert "<script>" not in listing + shown
    assert "&lt;b&gt;not bold" in shown
    assert "<iframe sandbox" in shown
    assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
