"""The integrators' guide: its client, which knows the documents alone, renews a certificate on the whole system."""

import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509

from devtools.scenario.gateway_client import API_HOST, SIGN_IN_HOST, plain_http, wait_for
from devtools.scenario.postbox import Postbox
from devtools.scenario.target import Target

CLIENT = Path(__file__).parents[2] / "docs" / "integrating_client.py"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The client, on a machine that resolves names under .localhost as browsers do."""
    resolve = socket.getaddrinfo

    def resolve_localhost(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_localhost)
    spec = importlib.util.spec_from_file_location("integrating_client", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, loaded)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("way", ["sign_in_by_certificate", "sign_in_by_challenge"])
def test_integrating_client_renews_a_certificate(
    system: Target, module: ModuleType, spare: Iterator[str], way: str
) -> None:
    ports, e_cert, srn = system.installation.ports, system.ecert("chan-mei-ling"), next(spare)
    client = module.Client(
        api=f"https://{API_HOST}:{ports.gateway}",
        sign_in=f"https://{SIGN_IN_HOST}:{ports.gateway}",
        certificate_file=e_cert.certificate,
        key_file=e_cert.key,
        ca_file=system.installation.pki.gateway / "root.pem",
    )
    postbox = Postbox(folder=system.installation.posting)

    def pin_of(reference: str, server_name: str) -> str:
        def look() -> str | None:
            return next((each.pin for each in postbox.letters({reference}) if each.server_name == server_name), None)

        return wait_for("the PIN Envelope", look, every=0.2)

    with client.session:
        getattr(client, way)()
        renewal_id = client.apply(srn)
        plain_http(client.checkout(renewal_id), "POST", decision="pay")
        [(key, chain)] = client.fulfil(renewal_id, system.publish, pin_of).values()

    assert "PRIVATE KEY" in key
    certificate, *above = x509.load_pem_x509_certificates(chain)
    assert above
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName)
