"""Client certificate of a request, parsed from the gateway's header (Envoy's XFCC), in this place only.

The header is trusted because only the gateway reaches the service (`require_gateway_only`), and it replaces the header
on every request (SANITIZE_SET). The header must have exactly Envoy's form for one certificate: anything else means that
another program, or a second proxy, has changed it.
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
    """The request has no client certificate."""

    reason = "client-certificate-missing"


class ClientCertificateMalformed(Refused):
    """The gateway's header does not contain exactly one certificate in the gateway's form."""

    reason = "client-certificate-malformed"


def parse(header: str | None) -> bytes:
    """Return the client's certificate, DER.

    Raises ClientCertificateMissing without a header, ClientCertificateMalformed for anything but exactly one element
    with one Cert.
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
    """Refuse settings under which others than the gateway reach the service. Raises SettingsError.

    The operator API requires the same of the desk's connections.
    """
    if not web.bind.startswith("unix:") and web.tls is None:
        raise SettingsError(
            "BIND: a process that trusts the gateway or the desk listens on a Unix socket (unix:/path), or behind "
            "TLS_CERTIFICATE_FILE, TLS_KEY_FILE and TLS_CLIENT_CA_FILE"
        )


def _der(pem: bytes) -> bytes:
    """Return the bytes; their reader reports faults of the certificate itself."""
    try:
        return binascii.a2b_base64(b"".join(pem.splitlines()[1:-1]), strict_mode=True)
    except binascii.Error as error:
        raise ClientCertificateMalformed("the client certificate header holds no certificate") from error
