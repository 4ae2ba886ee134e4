"""The Authorised Representative at a browser: what is clicked and typed on the road, with scripts or without."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect

from deploy.demo.ar import Order
from deploy.demo.postbox import Letter
from deploy.demo.target import Target


@dataclass(frozen=True, kw_only=True)
class ARBrowser:
    """A browser window with an e-Cert in it. `folder` is the AR's own computer."""

    target: Target
    page: Page
    folder: Path
    person: str
    edition: str

    @property
    def home(self) -> str:
        """The start page."""
        return f"https://portal.ecert.localhost:{self.target.installation.ports.gateway}/{self.edition}/"

    def press(self, selector: str) -> None:
        """Press a link or button of the page, by CSS: texts differ by language."""
        self.page.locator(selector).click()

    def sign_in(self) -> None:
        """From the start page with the client certificate."""
        self.page.goto(self.home)
        self.press("a.govuk-button--start")
        self.press("#sign-in")
        expect(self.page.locator("form[action$='/certificates/renewal']")).to_be_visible()

    def sign_in_with_file(self) -> None:
        """From the start page with the e-Cert file: the page signs a challenge."""
        self.page.goto(self.home)
        self.press("a.govuk-button--start")
        self.press("a[href*='/sign-in/file']")
        self._sign_in_the_page()
        expect(self.page.locator("form[action$='/certificates/renewal']")).to_be_visible()

    def _sign_in_the_page(self) -> None:
        people = self.target.installation.pki.people
        self.page.locator("#p12").set_input_files(people / f"{self.person}.p12")
        self.page.locator("#p12-password").fill(self.target.installation.passwords[f"p12/{self.person}"])
        self.press("form[data-sign] .govuk-button")

    def draft(self, *srns: str) -> str:
        """Choose the certificates; the renewal's id."""
        for srn in srns:
            self.page.locator(f"input[value='{srn}']").check()
        self.press("main form .govuk-button")
        self.press("#continue")
        expect(self.page.locator(".govuk-task-list")).to_be_visible()
        return self.page.url.rsplit("/", 1)[1]

    def sign_in_the_page_and_submit(self) -> None:
        """Check the answers, choose the e-Cert file and type its PIN: the page signs."""
        self._go_to_signing()
        self._sign_in_the_page()
        expect(self.page.locator("a[href$='/payment/authorise']")).to_be_visible()

    def upload_signature_and_submit(self) -> None:
        """Check the answers, download, sign with the command that the page shows, upload."""
        self._go_to_signing()
        with self.page.expect_download() as download:
            self.press("a[download]")
        download.value.save_as(self.folder / "renewal.json")
        ecert = self.target.ecert(self.person)
        self.folder.joinpath("e-cert.pem").write_bytes(ecert.certificate.read_bytes() + ecert.key.read_bytes())
        command = self.page.locator("main pre.portal-code").inner_text().splitlines()[1]
        subprocess.run(shlex.split(command), cwd=self.folder, check=True)
        self.page.locator("#signature").set_input_files(self.folder / "renewal.p7s")
        self.press("form[enctype] .govuk-button")
        expect(self.page.locator("a[href$='/payment/authorise']")).to_be_visible()

    def _go_to_signing(self) -> None:
        self.press("a[href$='/check']")
        self.press("main a.govuk-button")
        expect(self.page.locator("a[download]")).to_be_visible()

    def pay(self) -> None:
        """Prove who pays, pay at the provider's page, come back."""
        self.press("a[href$='/payment/authorise']")
        pay = self.page.locator("button[value='pay']")
        expect(pay).to_be_visible(timeout=60_000)
        pay.click()
        expect(self.page.locator(".portal-timeline")).to_be_visible(timeout=60_000)

    def send_csr(self, order: Order, letters: Sequence[Letter]) -> None:
        """Make key and CSR with the command that the page shows, type the PINs, paste the CSR."""
        self.press(f"a[href$='/orders/{order.item_id}']")
        command = self.page.locator("details pre.portal-code").text_content() or ""
        subprocess.run(shlex.split(command), cwd=self.folder, check=True, capture_output=True)
        self.page.locator("#reference").fill(order.reference)
        for number, name in enumerate(order.server_names, start=1):
            (pin,) = [each.pin for each in letters if (each.reference, each.server_name) == (order.reference, name)]
            self.page.locator(f"#pin-{number}").fill(pin)
        self.page.locator("#csr").fill(self.folder.joinpath("server.csr").read_text())
        self.press("form[enctype] .govuk-button")

    def download_and_accept(self) -> Path:
        """Wait on the page that loads itself again; take the file, accept, go back to the renewal."""
        link = self.page.locator("a[href$='/certificate']")
        expect(link).to_be_visible(timeout=60_000)
        with self.page.expect_download() as download:
            link.click()
        path = self.folder / download.value.suggested_filename
        download.value.save_as(path)
        self.press("form[action$='/acceptance'] .govuk-button")
        expect(self.page.locator("form[action$='/acceptance']")).to_have_count(0)
        self.press(".govuk-back-link")
        return path


def open_window(browser: Browser, target: Target, person: str, *, scripts: bool = True) -> BrowserContext:
    """A window with an e-Cert; the gateway's own root is not in any browser, so its errors are let pass."""
    ecert = target.ecert(person)
    host = f"https://signin.ecert.localhost:{target.installation.ports.gateway}"
    certificate = {"origin": host, "certPath": str(ecert.certificate), "keyPath": str(ecert.key)}
    return browser.new_context(
        client_certificates=[certificate],  # type: ignore[list-item]  # a TypedDict of theirs
        ignore_https_errors=True,
        java_script_enabled=scripts,
        accept_downloads=True,
    )
