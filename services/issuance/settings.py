"""Settings of issuance, read from the environment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from shared.settings import Env, ServiceSettings, SettingsError, read_env, read_service, seal


@dataclass(frozen=True, kw_only=True)
class CAToken:
    """Location of the CA's key: the vendor's PKCS#11 module, the labels of token and private key, the user PIN."""

    module_file: Path
    label: str
    object_label: str
    pin_file: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Key files are paths: each process opens only those it needs."""

    service: ServiceSettings
    application_jwks_file: Path
    payment_jwks_file: Path
    print_certificate_file: Path
    ca_key_file: Path | None
    ca_token: CAToken | None
    ca_certificate_file: Path
    ca_chain_file: Path
    pin_pepper_file: Path
    feed_key_file: Path | None
    feed_jwks_file: Path | None
    crl_url: str
    ca_issuers_url: str
    publication_folder: Path | None
    own_policy_oid: str | None
    new_pins: int
    pin_post_days: int
    serial_site_prefix: int
    allow_key_reuse: bool
    weak_keys_file: Path | None
    ct_log_list_file: Path
    ct_ca_file: Path | None
    perspectives_file: Path
    perspectives_ca_file: Path | None
    perspectives_certificate_file: Path | None
    perspectives_key_file: Path | None
    caa_issuer_domains: list[str]
    validation_cname_suffix: str
    revocation_sign_in_max_age: timedelta


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError that names every variable at fault."""
    env = read_env()
    service = read_service(env, "issuance")
    token = _read_token(env)
    settings = Settings(
        service=service,
        application_jwks_file=env.path("APPLICATION_JWKS_FILE", description="Public keys of entitlements (JWK set)"),
        payment_jwks_file=env.path("PAYMENT_JWKS_FILE", description="Public keys of receipts (JWK set)"),
        print_certificate_file=env.path(
            "PRINT_CERTIFICATE_FILE", description="Certificate of the print process, to which PINs are encrypted (PEM)"
        ),
        ca_key_file=_read_key_file(env, token),
        ca_token=token,
        ca_certificate_file=env.path("CA_CERTIFICATE_FILE", description="Certificate of the issuing CA (PEM)"),
        ca_chain_file=env.path("CA_CHAIN_FILE", description="Certificates above it, given out with each one (PEM)"),
        pin_pepper_file=env.path("PIN_PEPPER_FILE", description="Secret that goes into every PIN's hash"),
        feed_key_file=env.path("FEED_KEY_FILE", None, description="Key that signs the feed (PEM); `relay` needs it"),
        feed_jwks_file=env.path(
            "FEED_JWKS_FILE", None, description="Public keys of the feed (JWK set); `relay` needs it"
        ),
        crl_url=env.str("CRL_URL", description="Address of the CRL that certificates name"),
        ca_issuers_url=env.str("CA_ISSUERS_URL", description="Address of the CA's certificate that certificates name"),
        publication_folder=env.path(
            "PUBLICATION_FOLDER",
            None,
            description="Folder of what the CAs above gave us to publish: NAME.crl and NAME.crt (DER); `web` reads it",
        ),
        own_policy_oid=env.str(
            "ISSUANCE_POLICY_OID", None, description="The CA's own policy OID, beside the CA/Browser Forum's"
        ),
        new_pins=env.int("NEW_PINS", 3, description="New PIN Envelopes that an AR may order for one server name"),
        pin_post_days=env.int(
            "PIN_POST_DAYS", 7, description="Days before an AR may call a PIN Envelope lost: registered post takes some"
        ),
        serial_site_prefix=env.int(
            "SERIAL_SITE_PREFIX", description="First part of every serial number; another at each site"
        ),
        allow_key_reuse=env.bool(
            "ISSUANCE_ALLOW_KEY_REUSE",
            False,
            description="Whether a key that was used in another item may be certified",
        ),
        perspectives_file=env.path("PERSPECTIVES_FILE", description="Perspectives and their places (JSON)"),
        perspectives_ca_file=env.path(
            "PERSPECTIVES_CA_FILE", None, description="CA of the perspectives' certificates (PEM); `validate` needs it"
        ),
        perspectives_certificate_file=env.path(
            "PERSPECTIVES_CERTIFICATE_FILE",
            None,
            description="Client certificate for the perspectives (PEM); `validate` needs it",
        ),
        perspectives_key_file=env.path(
            "PERSPECTIVES_KEY_FILE", None, description="Key of that client certificate (PEM)"
        ),
        caa_issuer_domains=env.list(
            "CAA_ISSUER_DOMAINS", description="Names by which CAA records permit this CA, divided by commas"
        ),
        validation_cname_suffix=env.str(
            "VALIDATION_CNAME_SUFFIX", description="Domain of ours under which a CNAME that proves control points"
        ),
        weak_keys_file=env.path(
            "WEAK_KEYS_FILE", None, description="badkeys' list of known weak keys; required in production"
        ),
        revocation_sign_in_max_age=timedelta(
            minutes=env.int(
                "REVOCATION_SIGN_IN_MINUTES",
                10,
                description="Longest time from an AR's sign-in with the e-Cert to a revocation",
            )
        ),
        ct_log_list_file=env.path(
            "CT_LOG_LIST_FILE", description="Certificate transparency logs, in Google's JSON schema, version 3"
        ),
        ct_ca_file=env.path(
            "CT_CA_FILE", None, description="CAs of the logs' TLS certificates (PEM); the system's if not set"
        ),
    )
    seal(env)
    if wrong := list(_unfit(settings)):
        raise SettingsError("\n".join(wrong))
    return settings


def read_service_settings() -> ServiceSettings:
    """Return the part that every service has; the whole is checked all the same."""
    return read_settings().service


def _read_key_file(env: Env, token: CAToken | None) -> Path | None:
    default = () if token is None else (None,)
    found: Path | None = env.path(
        "CA_KEY_FILE", *default, description="Key of the issuing CA (PEM); in production it is in a token instead"
    )
    return found


def _read_token(env: Env) -> CAToken | None:
    """Return the location of the CA's key in a token: all of its variables or none."""
    if not any(env.is_set(f"CA_TOKEN_{name}") for name in ("MODULE_FILE", "LABEL", "OBJECT_LABEL", "PIN_FILE")):
        return None
    return CAToken(
        module_file=env.path(
            "CA_TOKEN_MODULE_FILE", description="PKCS#11 module of the HSM's maker; all four CA_TOKEN variables or none"
        ),
        label=env.str("CA_TOKEN_LABEL", description="Label of the token"),
        object_label=env.str("CA_TOKEN_OBJECT_LABEL", description="Label of the CA's key in the token"),
        pin_file=env.path("CA_TOKEN_PIN_FILE", description="File with the user's PIN of the token"),
    )


def _unfit(settings: Settings) -> Iterator[str]:
    if settings.ca_token is not None and settings.ca_key_file is not None:
        yield "CA_KEY_FILE: the CA's key is in this file or in a token (CA_TOKEN_MODULE_FILE), not in both"
    if not all(name.strip() for name in settings.caa_issuer_domains) or not settings.caa_issuer_domains:
        yield "CAA_ISSUER_DOMAINS: names of this CA, without an empty one"
    for name, number in (("NEW_PINS", settings.new_pins), ("PIN_POST_DAYS", settings.pin_post_days)):
        if number < 0:
            yield f"{name}: not negative"
    if settings.revocation_sign_in_max_age < timedelta(minutes=1):
        yield "REVOCATION_SIGN_IN_MINUTES: at least 1"
    if settings.service.environment == "production":
        if settings.ca_token is None:
            yield "CA_KEY_FILE: production signs in a token (CA_TOKEN_MODULE_FILE, _LABEL, _OBJECT_LABEL, _PIN_FILE)"
        if settings.weak_keys_file is None:
            yield "WEAK_KEYS_FILE: production certifies no key without the list of known weak ones"
