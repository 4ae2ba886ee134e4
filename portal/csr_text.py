"""Normalisation of an uploaded CSR: pasted text, or a file in any format that server programs write."""

from typing import Final

import flask

from shared.pki import armour
from shared.validation import texts

MAX_BYTES: Final = 32 * 1024
FILE: Final = "csr-file"


def given() -> str:
    """Return the CSR of this form: the file if there is one, else the pasted text.

    A text that is too long is truncated; no valid CSR is that long.
    """
    pasted = flask.request.form.get("csr", "")[: MAX_BYTES + 1]
    return uploaded().get("csr", pasted)


def uploaded() -> dict[str, str]:
    """Return the uploaded file as the text that could have been pasted instead; an empty dict without a file."""
    file = flask.request.files.get(FILE)
    raw = b"" if file is None else file.read(MAX_BYTES + 1)
    if file is not None:
        file.seek(0)
    return {"csr": read(raw)} if raw else {}


def read(raw: bytes) -> str:
    """Return text in any encoding; a DER file as PEM.

    Issuance validates the content.
    """
    if armour.is_der(raw):
        return armour.armoured(raw, "CERTIFICATE REQUEST")
    return texts.decode(raw, "replace")
