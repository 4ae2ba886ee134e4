"""A CSR as it comes in: pasted, or a file of whatever kind the server's program wrote."""

from typing import Final

import flask

from shared.pki import armour
from shared.validation import texts

MAX_BYTES: Final = 32 * 1024
FILE: Final = "csr-file"


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
    """Text in any encoding that a program writes; DER with the armour it lacks. What it holds, issuance judges."""
    if armour.is_der(raw):
        return armour.armoured(raw, "CERTIFICATE REQUEST")
    return texts.decode(raw, "replace")
