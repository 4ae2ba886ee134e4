"""Mail catcher: accepts every e-mail, keeps it in a Maildir, and shows it on a page and as JSON. Delivers nothing."""

import argparse
import email.policy
import logging
import mailbox
import signal
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import flask
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from werkzeug.serving import make_server

MAX_MAIL_BYTES: Final = 10 * 1024 * 1024
# An e-mail's HTML is shown in a frame that runs no script and loads nothing.
_FRAME_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"
_STYLE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem;border-bottom:1px solid #ccc}
pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}iframe{width:100%;height:40rem;border:1px solid #ccc}</style>
<h1>{{ title }}</h1>"""
_LIST: Final = (
    _STYLE
    + """<p>{{ mails|length }} caught; nothing left this machine. As JSON: <a href="/api/email">/api/email</a></p>
<table><tr><th>Received<th>To<th>Subject</tr>
{% for mail in mails %}<tr><td>{{ mail.date }}<td>{{ mail.to|join(", ") }}
<td><a href="/mail/{{ mail.id }}">{{ mail.subject or "(no subject)" }}</a></tr>{% endfor %}</table>"""
)
_MAIL: Final = (
    _STYLE
    + """<p><a href="/">Inbox</a></p><p>From {{ mail.from }}<br>To {{ mail.to|join(", ") }}<br>{{ mail.date }}</p>
{% if mail.text %}<h2>Text</h2><pre>{{ mail.text }}</pre>{% endif %}
{% if mail.html %}<h2>HTML</h2>
<iframe sandbox src="/mail/{{ mail.id }}/html" title="The mail's HTML"></iframe>{% endif %}"""
)


class Inbox:
    """The caught e-mails, on disk; an e-mail is acknowledged once it is stored."""

    def __init__(self, folder: Path) -> None:
        self._maildir = mailbox.Maildir(str(folder), factory=None)
        self._lock = threading.Lock()
        # Cache: a stored e-mail never changes, and reading all of them for every request would delay the next delivery.
        self._read: dict[str, dict[str, Any]] = {}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store an e-mail; called by the SMTP server."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        received = f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n".encode()
        with self._lock:
            self._maildir.add(received + content)
        return "250 OK: caught"

    def mails(self) -> list[dict[str, Any]]:
        """Return all e-mails, newest first."""
        with self._lock:
            keys = sorted(self._maildir.keys(), key=_age, reverse=True)
            return [self._describe(key) for key in keys]

    def mail(self, key: str) -> dict[str, Any] | None:
        """Return one e-mail."""
        with self._lock:
            return self._describe(key) if key in self._maildir else None

    def _describe(self, key: str) -> dict[str, Any]:
        if key not in self._read:
            self._read[key] = self._parse(key)
        return self._read[key]

    def _parse(self, key: str) -> dict[str, Any]:
        message = email.message_from_bytes(self._maildir.get_bytes(key), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return {
            "id": key,
            "message_id": message.get("Message-ID", ""),
            "date": message.get("Date", ""),
            "from": message.get("From", ""),
            "to": [part.strip() for part in message.get("X-Envelope-To", "").split(",")],
            "subject": message.get("Subject", ""),
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "text": _body(message, "plain"),
            "html": _body(message, "html"),
        }


def _age(key: str) -> tuple[int, int]:
    """Return the sort key of a Maildir key, which begins with seconds and microseconds: 1764.M250P1Q1.host."""
    seconds, _, rest = key.partition(".")
    micro = rest.removeprefix("M").partition("P")[0]
    return int(seconds), int(micro) if micro.isdigit() else 0


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    return None if part is None else str(part.get_content())


def create_app(inbox: Inbox) -> flask.Flask:
    """Return the inbox's WSGI app."""
    app = flask.Flask(__name__, static_folder=None)

    @app.get("/livez")
    def livez() -> str:
        return "ok"

    @app.get("/")
    def show_all() -> flask.Response:
        return _page(_LIST, title="Inbox", mails=inbox.mails())

    @app.get("/mail/<key>")
    def show(key: str) -> flask.Response:
        mail = inbox.mail(key) or flask.abort(404)
        return _page(_MAIL, title=mail["subject"], mail=mail)

    @app.get("/mail/<key>/html")
    def show_html(key: str) -> flask.Response:
        mail = inbox.mail(key) or flask.abort(404)
        return _with_policy(flask.make_response(mail["html"] or ""), _FRAME_POLICY)

    @app.get("/api/email")
    def as_json() -> flask.Response:
        return flask.jsonify(inbox.mails())

    return app


def _page(template: str, **values: object) -> flask.Response:
    return _with_policy(flask.make_response(flask.render_template_string(template, **values)), _PAGE_POLICY)


def _with_policy(response: flask.Response, policy: str) -> flask.Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def main() -> None:
    """Serve SMTP and HTTP until stopped."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.mailbox", description=__doc__)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    inbox = Inbox(options.folder)
    page = make_server("127.0.0.1", options.http_port, create_app(inbox), threaded=True)
    smtp = Controller(
        inbox, hostname="127.0.0.1", port=options.smtp_port, data_size_limit=MAX_MAIL_BYTES, enable_SMTPUTF8=True
    )
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: threading.Thread(target=page.shutdown).start())
    smtp.start()
    try:
        page.serve_forever(poll_interval=0.2)
    finally:
        smtp.stop()
        page.server_close()


if __name__ == "__main__":
    main()
