"""Guides for making a CSR and installing its certificate, for each kind of server, with commands for the actual names.

Every openssl and keytool command is run by tests/unit/portal/test_csr_guides.py. The commands for IIS follow
Microsoft's description of certreq and are not tested.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from portal.guides import Step
from portal.languages import N_

_NAME: Final = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+")
# X.520: longer names cannot be a common name.
_MAX_COMMON_NAME: Final = 64


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A guide for one kind of server. `tried` is false if its commands are not tested."""

    key: str
    server: str
    request: tuple[Step, ...]
    install: tuple[Step, ...]
    tried: bool = True


_KEEP_KEY: Final = N_(
    "On the server: this makes a new key and the CSR. Run it only once: a second time overwrites the key. "
    "Keep a copy of the key in a safe place."
)


def guides(order: Mapping[str, Any]) -> tuple[Guide, ...]:
    """Return the guides for an order's names.

    Returns none unless all names are plain DNS names, since the names become parts of commands.
    """
    names: list[str] = order["server_names"]
    if not all(_NAME.fullmatch(name) for name in names):
        return ()
    make = (_nginx, _apache, _haproxy, _tomcat, _iis)
    return tuple(each(names, stem(order), _common_name(names)) for each in make)


def stem(order: Mapping[str, Any]) -> str:
    """Return the base name of an order's files: its reference, so that the key of last year is not overwritten."""
    called = f"{order['server_names'][0].replace('*', 'wildcard')}-{order['reference']}"
    return re.sub(r"[^A-Za-z0-9.-]", "", called)


def _common_name(server_names: Sequence[str]) -> str | None:
    """Return a common name for the request: the certificate has none, but some programs refuse a
    request without one.
    """
    return next((name for name in server_names if len(name) <= _MAX_COMMON_NAME), None)


def _openssl(server_names: Sequence[str], stem: str, subject: str | None) -> Step:
    alternative = ",".join(f"DNS:{name}" for name in server_names)
    return Step(
        _KEEP_KEY,
        f'openssl req -new -newkey rsa:2048 -nodes -keyout "{stem}.key" -out "{stem}.csr" '
        f'-subj "/{f"CN={subject}" if subject else ""}" -addext "subjectAltName={alternative}"',
    )


def _nginx(server_names: Sequence[str], stem: str, subject: str | None) -> Guide:
    names = " ".join(server_names)
    return Guide(
        key="nginx",
        server="nginx",
        request=(_openssl(server_names, stem, subject),),
        install=(
            Step(
                N_("In the server block; the downloaded file holds the chain. Then: nginx -t && nginx -s reload"),
                f"server_name {names};\n"
                f"ssl_certificate     /etc/nginx/tls/{stem}.pem;\nssl_certificate_key /etc/nginx/tls/{stem}.key;",
            ),
        ),
    )


def _apache(server_names: Sequence[str], stem: str, subject: str | None) -> Guide:
    return Guide(
        key="apache",
        server="Apache HTTP Server",
        request=(_openssl(server_names, stem, subject),),
        install=(
            Step(
                N_("In the virtual host, from version 2.4.8 on. Then: apachectl configtest && apachectl graceful"),
                "SSLEngine on\n"
                f'SSLCertificateFile    "/etc/ssl/ecert/{stem}.pem"\n'
                f'SSLCertificateKeyFile "/etc/ssl/ecert/{stem}.key"',
            ),
        ),
    )


def _haproxy(server_names: Sequence[str], stem: str, subject: str | None) -> Guide:
    return Guide(
        key="haproxy",
        server="HAProxy",
        request=(_openssl(server_names, stem, subject),),
        install=(
            Step(
                N_("HAProxy wants certificate, chain and key in one file. Let nobody else read it."),
                f'(umask 077; cat "{stem}.pem" "{stem}.key" > "{stem}.haproxy.pem")',
            ),
            Step(N_("In the frontend"), f"bind :443 ssl crt /etc/haproxy/tls/{stem}.haproxy.pem"),
        ),
    )


def _tomcat(server_names: Sequence[str], stem: str, subject: str | None) -> Guide:
    alternative = ",".join(f"dns:{name}" for name in server_names)
    store = f'-alias server -keystore "{stem}.p12"'
    return Guide(
        key="tomcat",
        server="Apache Tomcat (Java keytool)",
        request=(
            Step(
                N_("On the server: this makes the key in a new keystore. Choose its password, and keep a copy of it."),
                f"keytool -genkeypair {store} -storetype PKCS12 -keyalg RSA -keysize 2048 "
                f'-dname "{f"CN={subject}" if subject else "C=HK"}"',
            ),
            Step(
                N_("Then the CSR"),
                f'keytool -certreq {store} -file "{stem}.csr" -ext "san={alternative}"',
            ),
        ),
        install=(
            Step(
                N_("Put the certificate with its chain into the keystore. If you are asked, answer yes."),
                f'keytool -importcert {store} -trustcacerts -file "{stem}.pem"',
            ),
            Step(
                N_("In the Connector of server.xml"),
                "<SSLHostConfig>\n"
                f'  <Certificate certificateKeystoreFile="conf/{stem}.p12"\n'
                '               certificateKeystorePassword="…" certificateKeyAlias="server" />\n'
                "</SSLHostConfig>",
            ),
        ),
    )


def _iis(server_names: Sequence[str], stem: str, subject: str | None) -> Guide:
    names = "\n".join(f'_continue_ = "dns={name}&"' for name in server_names)
    return Guide(
        key="iis",
        server="Microsoft IIS (certreq)",
        tried=False,
        request=(
            Step(
                N_("Save this as request.inf, in a folder of its own"),
                '[Version]\nSignature = "$Windows NT$"\n\n[NewRequest]\n'
                f'Subject = "{f"CN={subject}" if subject else "C=HK"}"\n'
                "KeyAlgorithm = RSA\nKeyLength = 2048\nHashAlgorithm = SHA256\nExportable = TRUE\n"
                "MachineKeySet = TRUE\nRequestType = PKCS10\nSilent = TRUE\n"
                'ProviderName = "Microsoft Software Key Storage Provider"\n\n'
                f'[Extensions]\n2.5.29.17 = "{{text}}"\n{names}',
            ),
            Step(
                N_("Then, in a command prompt that runs as administrator"),
                f'certreq -new request.inf "{stem}.csr"',
            ),
        ),
        install=(
            Step(
                N_("On the same server, as administrator; then choose the certificate in the site's https binding"),
                f'certreq -accept "{stem}.p7b"',
            ),
        ),
    )
