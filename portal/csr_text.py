"""A CSR as it comes in: pasted, or a file of whatever kind the server's program wrote."""

import base64
import codecs
import textwrap
from typing import Final

import flask

MAX_BYTES: Final = 32 * 1024
FILE: Final = "csr-file"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def given() -> str:
    """The CSR of this form: the file if there is one, or what was pasted. Too long a text is cut: none is valid."""
    pasted = flask.request.form.get("csr", "")[: MAX_BYTES + 1]
    return uploaded().get("csr", pasted)


def uploaded() -> dict[str, str]:
    """The file as the text that could have been pasted instead; nothing if there is none."""
    file = flask.request.files.get(FILE)
    raw = b"" if file is None else file.read(MAX_BYTES + 1)
    if file is not None:
        file.seek(0)
    return {"csr": read(raw)} if raw else {}


def read(raw: bytes) -> str:
    """PEM in any encoding that a text editor writes; DER with the armour it lacks."""
    if raw[:1] == b"\x30":
        body = "\n".join(textwrap.wrap(base64.b64encode(raw).decode(), 64))
        return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"
    return raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8-sig", "replace")
