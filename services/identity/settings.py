"""Settings of identity, and the trust anchors that they name."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from environs import validate

from services.identity import pinned
from services.identity.certificates import Trust
from services.identity.pinned import PinRefused
from shared.pki.certificates import UNREADABLE
from shared.pki.crls import DEFAULT_MAX_AGES, MaxAges
from shared.settings import ServiceSettings, SettingsError, read_env, read_service, seal

DEFAULT_REFRESH_SECONDS: Final = 60
_POSITIVE: Final = validate.Range(1, 10_000)
_CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all identity processes."""

    service: ServiceSettings
    signing_key_file: Path
    application_jwks_file: Path
    trust_folder: Path
    crl_sources: tuple[str, ...]
    crl_refresh_seconds: int
    crl_ages: MaxAges
    policies: frozenset[x509.ObjectIdentifier]
    purposes: frozenset[x509.ObjectIdentifier]
    require_non_repudiation: bool
    redirect_uris: tuple[str, ...]

    @property
    def origin(self) -> str:
        """The portal's origin, for which a challenge is signed."""
        parts = urlsplit(self.redirect_uris[0])
        return f"{parts.scheme}://{parts.netloc}"


def read_settings() -> Settings:
    """Read all settings. Raises SettingsError that names every variable at fault."""
    env = read_env()
    service = read_service(env, "identity")
    signing_key_file = env.path(
        "IDENTITY_SIGNING_KEY_FILE", description="Key that signs access tokens and attestations (PEM)"
    )
    application_jwks_file = env.path("APPLICATION_JWKS_FILE", description="Public keys of draft tickets (JWK set)")
    trust_folder = env.path(
        "CLIENT_TRUST_DIR", description="Folder of e-Cert CAs: anchors/, intermediates/, mutual-recognition/"
    )
    sources: list[str] = env.list("CLIENT_CRLS", description="CRL sources: folders or http URLs, divided by commas")
    policies: list[str] = env.list(
        "ECERT_ORGANISATIONAL_POLICY_OIDS", description="Policy OIDs of which an AR's certificate has one"
    )
    purposes: list[str] = env.list(
        "ECERT_EXTENDED_KEY_USAGE_OIDS",
        [_CLIENT_AUTH],
        description="Extended key usages of which an AR's certificate has one, if it has the extension",
    )
    refresh = env.int(
        "CLIENT_CRL_REFRESH_SECONDS", DEFAULT_REFRESH_SECONDS, description="Seconds between two fetches of the CRLs"
    )
    sub_ca_days = env.int(
        "CLIENT_CRL_MAX_AGE_DAYS",
        DEFAULT_MAX_AGES.sub_cas.days,
        validate=_POSITIVE,
        description="Greatest age of a sub-CA's CRL, in days, whatever its nextUpdate says",
    )
    root_days = env.int(
        "CLIENT_ROOT_CRL_MAX_AGE_DAYS",
        DEFAULT_MAX_AGES.roots.days,
        validate=_POSITIVE,
        description="Greatest age of a root's CRL, in days",
    )
    non_repudiation = env.bool(
        "ECERT_REQUIRE_NON_REPUDIATION", True, description="Whether a certificate that signs needs nonRepudiation"
    )
    redirects: list[str] = env.list(
        "PORTAL_REDIRECT_URIS",
        description="https addresses to which a sign-in may lead back; the first is the portal's",
    )
    seal(env)
    return Settings(
        service=service,
        signing_key_file=signing_key_file,
        application_jwks_file=application_jwks_file,
        trust_folder=trust_folder,
        crl_sources=_sources(sources),
        crl_refresh_seconds=refresh,
        crl_ages=MaxAges(sub_cas=timedelta(days=sub_ca_days), roots=timedelta(days=root_days)),
        policies=_oids("ECERT_ORGANISATIONAL_POLICY_OIDS", policies),
        purposes=_oids("ECERT_EXTENDED_KEY_USAGE_OIDS", purposes),
        require_non_repudiation=non_repudiation,
        redirect_uris=_redirect_uris(redirects),
    )


def read_service_settings() -> ServiceSettings:
    """Return the settings that every service has; all others are validated all the same."""
    return read_settings().service


def read_trust(settings: Settings) -> Trust:
    """Read the anchors, intermediates and Mutual Recognition sub-CAs, if there are any.

    Raises SettingsError for a folder without them, with anything else, or with a CA that must not be pinned.
    """
    recognised = settings.trust_folder / "mutual-recognition"
    trust = Trust(
        anchors=_certificates(settings.trust_folder / "anchors"),
        intermediates=_certificates(settings.trust_folder / "intermediates"),
        mutual_recognition=_certificates(recognised) if recognised.exists() else (),
        policies=settings.policies,
        purposes=settings.purposes,
        crl_ages=settings.crl_ages,
        require_non_repudiation=settings.require_non_repudiation,
    )
    try:
        pinned.check(trust)
    except PinRefused as refused:
        raise SettingsError(f"CLIENT_TRUST_DIR: {refused}") from refused
    return trust


def _certificates(folder: Path) -> tuple[x509.Certificate, ...]:
    try:
        files = sorted(folder.glob("*.pem"))
        found = tuple(each for file in files for each in x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, *UNREADABLE) as error:
        raise SettingsError(f"CLIENT_TRUST_DIR: {folder.name}: {error}") from error
    if not found:
        raise SettingsError(f"CLIENT_TRUST_DIR: there is no certificate in {folder.name}/*.pem")
    return found


def _sources(sources: list[str]) -> tuple[str, ...]:
    found = tuple(source.strip() for source in sources if source.strip())
    if not found:
        raise SettingsError("CLIENT_CRLS: name at least one directory or http URL")
    return found


def _oids(variable: str, texts: list[str]) -> frozenset[x509.ObjectIdentifier]:
    try:
        found = frozenset(x509.ObjectIdentifier(text.strip()) for text in texts)
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from error
    if not found:
        raise SettingsError(f"{variable}: name at least one")
    return found


def _redirect_uris(texts: list[str]) -> tuple[str, ...]:
    """Return the allowed return addresses of a sign-in; they are compared as a whole, and have no query."""
    found = tuple(text.strip() for text in texts if text.strip())
    if not found:
        raise SettingsError("PORTAL_REDIRECT_URIS: name at least one")
    for uri in found:
        parts = urlsplit(uri)
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or not uri.isascii():
            raise SettingsError(f"PORTAL_REDIRECT_URIS: {uri} is no https address")
        if "?" in uri or "#" in uri:
            raise SettingsError(f"PORTAL_REDIRECT_URIS: {uri} has a query or a fragment")
    return found
