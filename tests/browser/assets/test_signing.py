"""Signing in the page: what the browser makes, identity's strict verifier and OpenSSL accept."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from playwright.sync_api import Page, Playwright, Route, expect

from deploy.local import pki as local_pki
from deploy.local.installation import CACHE
from deploy.local.people import SAMPLES
from services.identity import cms
from tests.browser import programs
from tests.browser.assets import files, terminal
from tests.browser.assets.site import TEXTS, Site
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import Leaf, World


@pytest.fixture(scope="module")
def world() -> World:
    return builders.world()


def choose(page: Page, site: Site, content: bytes, password: str = files.PASSWORD) -> None:
    """Choose a file, type its password and press the button."""
    page.goto(site.address)
    page.locator("#p12").set_input_files({"name": "e-Cert.p12", "mimeType": "", "buffer": content})
    page.locator("#secret").fill(password)
    page.get_by_role("button", name="簽署").click()


def sign(page: Page, site: Site, content: bytes, password: str = files.PASSWORD) -> bytes:
    """Return the signature that the page posts."""
    choose(page, site, content, password)
    page.wait_for_url("**/posted")
    return site.signature()


def test_form_cannot_be_sent_before_the_script_is_loaded(page: Page, site: Site) -> None:
    """Seen from the start, the form sleeps: pressed now, it would send no signature."""
    asked: list[Route] = []
    page.route("**/signing.js", lambda route: asked.append(route))
    page.goto(site.address, wait_until="commit")
    button = page.locator("form .govuk-button")
    expect(button).to_be_visible()
    place = button.bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + 5, place["y"] + 5)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement === document.body")
    [script] = asked
    script.continue_()
    button.click()
    refused(page, "no-file")
    assert site.posted == []


def refused(page: Page, name: str) -> None:
    """Assert that the page shows the reason in its own language and has sent nothing."""
    message = page.get_by_role("status")
    expect(message).to_contain_text(TEXTS[name])
    expect(message).to_have_class("portal-sign__message portal-sign__message--error")


def test_signature_of_a_sample_e_cert_passes_the_strict_verifier_and_openssl(
    page: Page, site: Site, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    pki = local_pki.PKI(tmp_path / "pki")
    local_pki.create(pki, {name: f"password of {name.rpartition('/')[2]}" for name in local_pki.PASSWORDS}, now=now)
    sample = SAMPLES[0].file
    signature = sign(page, site, (pki.people / f"{sample}.p12").read_bytes(), f"password of {sample}")
    verified = cms.verify(signature, site.document, datetime.now(UTC))
    assert verified.hash_name == "sha256"
    assert verified.certificate == x509.load_pem_x509_certificate((pki.people / f"{sample}.pem").read_bytes())
    assert_openssl_accepts(signature, site.document, tmp_path, pki)


def assert_openssl_accepts(signature: bytes, document: bytes, folder: Path, pki: local_pki.PKI) -> None:
    (folder / "signature.der").write_bytes(signature)
    (folder / "document.json").write_bytes(document)
    chain = (pki.gateway / "client-cas.pem").as_posix()
    command = ["openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "signature.der"]
    trust = ["-content", "document.json", "-CAfile", chain, "-purpose", "any", "-out", "/dev/null"]
    done = subprocess.run([*command, *trust], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, "CAdES Verification successful" in done.stderr) == (0, True), done.stderr


def test_elliptic_curve_key_signs(page: Page, site: Site, world: World) -> None:
    holder = builders.issue(world.sub, Leaf(key=builders.ec_key("p-256")))
    verified = cms.verify(sign(page, site, files.modern(holder, world)), site.document, datetime.now(UTC))
    assert verified.certificate == holder.certificate


def test_form_sends_the_token_and_the_signature_alone(page: Page, site: Site, world: World) -> None:
    site.inputs_have_names = True
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    sign(page, site, files.modern(world.holder, world))
    (body,) = site.posted
    assert [pair.split("=")[0] for pair in body.decode().split("&")] == ["csrf_token", "signature"]
    assert {url.removeprefix(site.address) for url in requests} == {
        "",
        "static/portal.css",
        "static/signing.js",
        "posted",
    }


def test_signing_time_is_the_servers_not_the_browsers(page: Page, site: Site, world: World) -> None:
    server = datetime.now(UTC) + timedelta(days=400)
    site.time = server.isoformat()
    verified = cms.verify(sign(page, site, files.modern(world.holder, world)), site.document, server)
    assert abs(verified.signing_time - server) < timedelta(minutes=1)


def test_wrong_password_is_reported_and_the_right_one_then_signs(page: Page, site: Site, world: World) -> None:
    choose(page, site, files.modern(world.holder, world), "another")
    refused(page, "wrong-password")
    expect(page.locator("#secret")).to_be_focused()
    expect(page.locator("#secret")).to_have_attribute("aria-invalid", "true")
    assert site.posted == []
    page.locator("#secret").fill(files.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/posted")
    cms.verify(site.signature(), site.document, datetime.now(UTC))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-legacy",), id="RC2 round the certificates, 3DES round the key"),
        pytest.param(("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES"), id="3DES round both, as Windows does"),
        pytest.param(("-certpbe", "NONE", "-keypbe", "PBE-SHA1-3DES"), id="3DES round the key alone"),
        pytest.param(("-keypbe", "DES-EDE3-CBC", "-certpbe", "DES-EDE3-CBC"), id="3DES in the newer scheme"),
        pytest.param(("-keypbe", "AES-192-CBC", "-certpbe", "AES-192-CBC"), id="AES-192, which Chrome lacks"),
    ],
)
def test_old_file_is_converted_by_the_command_on_the_page_and_then_signs(
    page: Page, site: Site, world: World, tmp_path: Path, options: tuple[str, ...]
) -> None:
    old = files.by_openssl(world.holder, tmp_path, *options)
    choose(page, site, old.read_bytes(), files.PLAIN_PASSWORD)
    refused(page, "legacy")
    command = page.get_by_role("status").locator("code").inner_text()
    prompts = (
        "Enter Import Password:",
        "Enter PEM pass phrase:",
        "Verifying - Enter PEM pass phrase:",
        "Enter pass phrase for old.pem:",
        "Enter Export Password:",
        "Verifying - Enter Export Password:",
    )
    status, shown = terminal.run(command, tmp_path, [(prompt, files.PLAIN_PASSWORD) for prompt in prompts])
    assert status == 0, shown
    signature = sign(page, site, (tmp_path / "new.p12").read_bytes(), files.PLAIN_PASSWORD)
    cms.verify(signature, site.document, datetime.now(UTC))


def test_file_encrypted_with_aes_128_is_read(page: Page, site: Site, world: World, tmp_path: Path) -> None:
    made = files.by_openssl(world.holder, tmp_path, "-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC")
    cms.verify(sign(page, site, made.read_bytes(), files.PLAIN_PASSWORD), site.document, datetime.now(UTC))


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\n", b"0\x80\x00\x00", b"\x00" * 2_000_000])
def test_file_that_is_not_pkcs12_is_reported(page: Page, site: Site, content: bytes) -> None:
    choose(page, site, content)
    refused(page, "not-pkcs12")
    expect(page.locator("#p12")).to_be_focused()


def test_der_certificate_is_reported_as_not_pkcs12(page: Page, site: Site, world: World) -> None:
    choose(page, site, world.holder.der)
    refused(page, "not-pkcs12")


def test_key_for_encipherment_only_does_not_sign(page: Page, site: Site, world: World) -> None:
    holder = builders.issue(world.sub, Leaf(uses=("key_encipherment",)))
    choose(page, site, files.modern(holder, world))
    refused(page, "no-key")


def test_key_without_its_own_certificate_does_not_sign(page: Page, site: Site, world: World) -> None:
    choose(page, site, files.mismatched(builders.rsa_key("another"), world.holder))
    refused(page, "no-key")


def test_certificates_without_a_key_do_not_sign(page: Page, site: Site, world: World) -> None:
    made = subprocess.run(
        ["openssl", "pkcs12", "-export", "-nokeys", "-passout", f"pass:{files.PLAIN_PASSWORD}"],
        input=world.holder.pem.encode(),
        capture_output=True,
        check=True,
    ).stdout
    choose(page, site, made, files.PLAIN_PASSWORD)
    refused(page, "no-key")


def test_missing_file_and_missing_password_are_reported(page: Page, site: Site, world: World) -> None:
    page.goto(site.address)
    page.get_by_role("button", name="簽署").click()
    refused(page, "no-file")
    choose(page, site, files.modern(world.holder, world), "")
    refused(page, "no-password")
    assert site.posted == []


def test_two_clicks_send_one_signature_and_leave_no_secret_in_the_page(page: Page, site: Site, world: World) -> None:
    # The page stays, so that it can be looked at after what would have sent it.
    page.add_init_script("window.sent = 0; HTMLFormElement.prototype.submit = () => { window.sent += 1; }")
    page.goto(site.address)
    content = files.modern(world.holder, world)
    page.locator("#p12").set_input_files({"name": "e-Cert.p12", "mimeType": "", "buffer": content})
    page.locator("#secret").fill(files.PASSWORD)
    page.evaluate("document.forms[0].requestSubmit(); document.forms[0].requestSubmit()")
    expect(page.locator("[name=signature]")).not_to_have_value("")
    page.get_by_role("button", name="簽署").click()
    page.wait_for_timeout(500)
    assert page.evaluate("window.sent") == 1
    expect(page.locator("#secret")).to_have_value("")
    assert page.locator("#p12").evaluate("input => input.files.length") == 0


def test_form_signs_again_after_the_browsers_back_button(page: Page, site: Site, world: World) -> None:
    sign(page, site, files.modern(world.holder, world))
    page.go_back()
    expect(page.locator("#secret")).to_have_value("")
    expect(page.locator("[name=signature]")).to_have_value("")
    site.posted.clear()
    cms.verify(sign(page, site, files.modern(world.holder, world)), site.document, datetime.now(UTC))


def test_form_is_hidden_without_scripts(site: Site, page: Page) -> None:
    assert page.context.browser is not None
    with page.context.browser.new_context(java_script_enabled=False) as plain:
        window = plain.new_page()
        window.goto(site.address)
        expect(window.locator("form")).to_be_hidden()


@pytest.mark.slow
def test_packaged_chromium_signs_where_apt_is_not_available(playwright: Playwright, site: Site, world: World) -> None:
    chromium = programs.packaged_chromium()
    assert Path(chromium.program).is_relative_to(CACHE)
    with chromium.start(playwright) as browser:
        signature = sign(browser.new_page(), site, files.modern(world.holder, world))
    cms.verify(signature, site.document, datetime.now(UTC))
