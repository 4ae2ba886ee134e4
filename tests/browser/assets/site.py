"""A page with one form that signs, served under the portal's content security policy; what is posted is kept."""

import base64
import contextlib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from tests.support.servers import serving

STATIC: Final = Path(__file__).parents[3] / "portal" / "static"
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
TEXTS: Final = {
    "working": "正在簽署",
    "no-file": "請選擇檔案",
    "no-password": "請輸入密碼",
    "not-pkcs12": "這不是電子證書檔案",
    "legacy": "這個檔案須先轉換",
    "wrong-password": "密碼不正確",
    "no-key": "檔案內沒有可以簽署的私人密碼匙",
    "failed": "無法簽署",
}
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_PAGE: Final = """<!doctype html><html lang="zh-Hant" class="govuk-template"><meta charset="utf-8"><title>Sign</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/static/portal.css">
<script src="/static/signing.js" defer></script>
<body class="govuk-template__body"><main class="govuk-main-wrapper govuk-width-container">
<form data-sign hidden inert method="post" action="/posted" novalidate {attributes}>
<input type="hidden" name="csrf_token" value="of the session">
<input type="hidden" name="signature" data-sign-signature>
<div class="govuk-form-group"><label class="govuk-label" for="p12">電子證書檔案</label>
<input class="govuk-file-upload" id="p12" {named} type="file" data-sign-file aria-describedby="says"></div>
<div class="govuk-form-group"><label class="govuk-label" for="secret">密碼</label>
<input class="govuk-input" id="secret" {named} type="password" autocomplete="off" data-sign-password
  aria-describedby="says"></div>
<div class="portal-sign__message" id="says" role="status" data-sign-message></div>
<button class="govuk-button">簽署</button></form></main></body></html>"""


@dataclass
class Site:
    """The page's address, the document to sign, and the bodies that were posted."""

    address: str
    document: bytes = b""
    time: str | None = None
    inputs_have_names: bool = False
    posted: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def page(self) -> str:
        """Return the page as it is now to be."""
        attributes: Mapping[str, str | None] = {
            "data-document": base64.b64encode(self.document).decode(),
            "data-time": self.time,
            **{f"data-text-{name}": text for name, text in TEXTS.items()},
        }
        written = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items() if value)
        return _PAGE.format(attributes=written, named='name="careless"' if self.inputs_have_names else "")

    def signature(self) -> bytes:
        """Return the signature of the only form posted."""
        (body,) = self.posted
        (value,) = parse_qs(body.decode())["signature"]
        return base64.b64decode(value, validate=True)


@contextlib.contextmanager
def running_site() -> Iterator[Site]:
    """Yield the site on a loopback port, until the end."""
    site = Site(address="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            static = STATIC / Path(self.path).name
            if self.path == "/":
                self._answer("text/html; charset=utf-8", site.page().encode())
            elif self.path.startswith("/static/") and static.is_file():
                self._answer(_TYPES[static.suffix], static.read_bytes())
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            site.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer("text/html; charset=utf-8", b"<!doctype html><title>Posted</title><link rel=icon href=data:,>")

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Write no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}/"
    with serving(server):
        yield site
