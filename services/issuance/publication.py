"""Files that the gateway serves by plain HTTP at the addresses in certificates: CRLs and CA certificates."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from shared.errors import Refused
from shared.settings import SettingsError

# Relying parties may cache a CRL for an hour: then the next one is published.
CRL_AGE: Final = timedelta(hours=1)
CERTIFICATE_AGE: Final = timedelta(days=1)
_MAX_BYTES: Final = 10 * 1024 * 1024
_READ: Final = {".crl": x509.load_der_x509_crl, ".crt": x509.load_der_x509_certificate}


class NotPublished(Refused):
    """No file of this name is published."""

    reason = "not-published"


class UnfitPublication(SettingsError):
    """A file to be published is not what its name says, or an address does not lead to us."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The file names of the CRL and of the CA's certificate, and a folder with what the CAs above have given us.

    The folder holds NAME.crl (the root's CRL, which lists this CA if it is revoked) and NAME.crt, in DER; a replaced
    file is served at once.
    """

    crl_file: str
    certificate_file: str
    folder: Path | None

    @classmethod
    def load(cls, *, crl_url: str, ca_issuers_url: str, folder: Path | None) -> "Publication":
        """Read the names out of the addresses in certificates. Raises UnfitPublication."""
        found = cls(crl_file=_file_of(crl_url, "crl"), certificate_file=_file_of(ca_issuers_url, "root"), folder=folder)
        for path in _files(folder):
            try:
                _READ[path.suffix](path.read_bytes())
            except (ValueError, KeyError) as error:
                raise UnfitPublication(f"{path}: neither a CRL, NAME.crl, nor a certificate, NAME.crt") from error
        return found

    def read(self, file: str, suffix: str) -> bytes:
        """Return a published file of the CAs above. Raises NotPublished."""
        # Looked up in a listing, so that a name can lead nowhere else.
        path = next((path for path in _files(self.folder) if path.name == file and path.suffix == suffix), None)
        if path is None or path.stat().st_size > _MAX_BYTES:
            raise NotPublished("there is no such file")
        return path.read_bytes()


def _files(folder: Path | None) -> list[Path]:
    """Return the files to be published. Not those that Kubernetes keeps beside them, whose names begin with dots."""
    return [] if folder is None else sorted(path for path in folder.glob("[!.]*") if path.is_file())


def etag_of(content: bytes) -> str:
    """Return the strong validator of a file."""
    return sha256(content).hexdigest()[:32]


def _file_of(url: str, folder: str) -> str:
    parts = urlsplit(url)
    above, _, file = parts.path.rpartition("/")
    if parts.scheme != "http" or above != f"/{folder}" or not file:
        raise UnfitPublication(f"{url}: it must be http://HOST/{folder}/NAME, which the gateway leads here")
    return file
