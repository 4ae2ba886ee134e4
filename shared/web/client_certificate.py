"""The one place that reads the client certificate from the gateway's header (Envoy's XFCC).

The header is believed because nothing but the gateway gets through to the service (`require_gateway_only`), and it
writes it anew on every request (SANITIZE_SET). It must look exactly as Envoy writes it for one certificate:
anything else means that something other than Envoy, or a second proxy, had a hand in it.
"""

import binascii
import hashlib
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from shared.errors import Refused
from shared.settings import SettingsError, WebSettings

HEADER: Final = "X-Forwarded-Client-Cert"
MAX_LENGTH: Final = 16_384
_ELEMENT: Final = re.compile(r'(Hash=(?P<hash>[0-9a-f]{64});)?Cert="(?P<cert>(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)"')
_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/]{1,64}={0,2}\n)+-----END CERTIFICATE-----\n?", re.ASCII
)


class ClientCertificateMissing(Refused):
    """The request came without a client certificate."""

    reason = "client-certificate-missing"


class ClientCertificateMalformed(Refused):
    """The gateway's header does not carry exactly one certificate as the gateway writes it."""

    reason = "client-certificate-malformed"


def parse(header: str | None) -> bytes:
    """The client's certificate, DER.

    Raises ClientCertificateMissing without a header, ClientCertificateMalformed for anything but exactly one
    element with one Cert.
    """
    if not header:
        raise ClientCertificateMissing("no client certificate came with the connection")
    element = _ELEMENT.fullmatch(header) if len(header) <= MAX_LENGTH else None
    pem = unquote_to_bytes(element["cert"]) if element else b""
    if element is None or not _PEM.fullmatch(pem):
        raise ClientCertificateMalformed("the client certificate header cannot be read")
    der = _der(pem)
    if element["hash"] not in (None, hashlib.sha256(der).hexdigest()):
        raise ClientCertificateMalformed("the client certificate header contradicts itself")
    return der


def require_gateway_only(web: WebSettings) -> None:
    """The client certificate's header is believed because only the gateway gets through to us. Raises SettingsError.

    So is what the desk says, where it operates a service.
    """
    if not web.bind.startswith("unix:") and web.tls is None:
        raise SettingsError(
            "BIND: what believes the gateway's or the desk's word listens on a Unix socket (unix:/path), or behind "
            "TLS_CERTIFICATE_FILE, TLS_KEY_FILE and TLS_CLIENT_CA_FILE"
        )


def _der(pem: bytes) -> bytes:
    """Return the bytes alone: its reader says what is wrong with the certificate itself."""
    try:
        return binascii.a2b_base64(b"".join(pem.splitlines()[1:-1]), strict_mode=True)
    except binascii.Error as error:
        raise ClientCertificateMalformed("the client certificate header holds no certificate") from error
