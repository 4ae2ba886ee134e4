"""The Authorised Representative at a browser: what is clicked and typed on the road, with scripts or without."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext

from devtools.scenario.ar import Order
from devtools.scenario.postbox import Letter
from devtools.scenario.target import Target
from tests.browser import token
from tests.browser.assets import terminal
from tests.browser.windows import Window


@dataclass(frozen=True, kw_only=True)
class ARBrowser:
    """A browser window with an e-Cert in it. `folder` is the AR's own computer."""

    target: Target
    window: Window
    folder: Path
    person: str
    edition: str

    @property
    def home(self) -> str:
        """The start page."""
        return f"https://portal.ecert.localhost:{self.target.installation.ports.gateway}/{self.edition}/"

    def sign_in(self) -> None:
        """Sign in from the start page with the client certificate."""
        self.window.goto(self.home)
        self.window.press("a.govuk-button--start")
        self.window.press("#sign-in")
        self.window.wait("form[action$='/certificates/renewal']")

    def sign_in_with_file(self) -> None:
        """Sign in from the start page with the e-Cert file: the page signs a challenge."""
        self.window.goto(self.home)
        self.window.press("a.govuk-button--start")
        self.window.press("a[href*='/sign-in/file']")
        self.use_e_cert_file()
        self.window.wait("form[action$='/certificates/renewal']")

    def use_e_cert_file(self) -> None:
        """Choose the e-Cert file and type its PIN: the page signs."""
        installation = self.target.installation
        self.window.upload("#p12", installation.pki.people / f"{self.person}.p12")
        self.window.fill("#p12-password", installation.passwords[f"p12/{self.person}"])
        self.window.press("form[data-sign] .govuk-button")

    def draft(self, *srns: str) -> str:
        """Choose the certificates; the renewal's id."""
        for srn in srns:
            self.window.press(f"input[value='{srn}']")
        self.window.press("main form .govuk-button")
        self.window.press("#continue")
        self.window.wait(".govuk-task-list")
        return self.window.address.rsplit("/", 1)[1]

    def draft_reissue(self, srn: str) -> str:
        """Draft another certificate within the paid period; the reissue's id."""
        self.window.press(f"a[href$='/certificates/reissue?srn={srn}']")
        self.window.press("#continue")
        self.window.wait(".govuk-task-list")
        return self.window.address.rsplit("/", 1)[1]

    def prove_domains(self) -> None:
        """Go to the domains, publish the TXT record of each, have them checked, wait for proofs or certificate."""
        self.window.press("main a[href$='/domains']")
        self.window.wait(".portal-code")
        codes = self.window.texts(".portal-code")
        records: dict[str, str] = {}
        for name, text in pairwise(codes):
            if name.startswith("_validation."):
                # The name comes a second time, with a CNAME record's target.
                records.setdefault(name, text)
        for name, text in records.items():
            self.target.publish(name, text)
        self.window.press("main .govuk-button:not(.govuk-button--secondary)" if len(records) > 1 else "[name='domain']")
        self.window.wait("main .govuk-tag--green, .portal-timeline", seconds=60)

    def sign_in_the_page_and_submit(self, then: str = "a[href$='/payment/authorise']") -> None:
        """Check the answers, choose the e-Cert file and type its PIN: the page signs, and `then` is on the next one."""
        self._go_to_signing()
        self.use_e_cert_file()
        self.window.wait(then)

    def upload_signature_and_submit(self, sign: Callable[["ARBrowser"], None]) -> None:
        """Check the answers, download, sign as the page shows, upload."""
        self._go_to_signing()
        self.window.download("a[download]", self.folder)
        sign(self)
        (signature,) = self.folder.glob("renewal-*.p7s")
        self.window.upload("#signature", signature)
        self.window.press("form[enctype] .govuk-button")
        self.window.wait("a[href$='/payment/authorise']")

    def shown(self, begins: str) -> str:
        """Return the first command on the page that begins so."""
        commands = "\n".join(self.window.texts("pre.portal-code")).splitlines()
        return next(line for line in commands if line.startswith(begins))

    def _go_to_signing(self) -> None:
        self.window.press("a[href$='/check']")
        self.window.press("main a.govuk-button")
        self.window.wait("a[download]")

    def pay(self) -> None:
        """Prove who pays, pay at the provider's page, come back."""
        self.window.press("a[href$='/payment/authorise']")
        self._pay_at_provider()

    def _pay_at_provider(self) -> None:
        self.window.wait("button[value='pay']", seconds=60)
        self.window.press("button[value='pay']")
        self.window.wait(".portal-timeline", seconds=60)

    def pay_with_file(self) -> None:
        """Prove who pays with the e-Cert file, pay at the provider's page, come back."""
        self.window.press("a[href*='/sign-in/file']")
        self.use_e_cert_file()
        self._pay_at_provider()

    def send_csr(self, order: Order, letters: Sequence[Letter]) -> Path:
        """Make key and CSR with a command that the page shows, have it checked, send it with the PINs; the key.

        Without letters it is the CSR of a reissue, which needs no PIN.
        """
        server = self.folder / order.reference
        server.mkdir()
        self.window.press(f"a[href$='/orders/{order.item_id}']")
        self.window.wait("#csr")
        subprocess.run(shlex.split(self.shown("openssl req")), cwd=server, check=True, capture_output=True)
        (csr,) = server.glob("*.csr")
        self.window.fill("#csr", csr.read_text())
        self.window.press("#check")
        self.window.wait("#send")
        if letters:
            self._fill_pins(order, letters)
        self.window.press("#send")
        return csr.with_suffix(".key")

    def _fill_pins(self, order: Order, letters: Sequence[Letter]) -> None:
        self.window.fill("#reference", order.reference)
        pins = {each.server_name: each.pin for each in letters if each.reference == order.reference}
        if len(order.server_names) > 1:
            self.window.fill("#pin-list", "\n".join(f"{name} {pins[name]}" for name in order.server_names))
        else:
            self.window.fill("#pin-1", pins[order.server_names[0]])

    def download_and_accept(self) -> Path:
        """Wait on the page that loads itself again; take the file, accept, go back to the renewal."""
        self.window.wait("a.govuk-button[href$='/certificate']", seconds=60)
        file = self.window.download("a.govuk-button[href$='/certificate']", self.folder)
        self.window.press("form[action$='/acceptance'] .govuk-button")
        self.window.gone("form[action$='/acceptance']")
        self.window.press(".govuk-back-link")
        return file

    def revoke(self, item_id: str, reason: str) -> None:
        """Open the certificate of this renewal, revoke it for this reason, and wait until the CRL lists it."""
        self.window.press(f"a[href$='/orders/{item_id}']")
        self.window.press("main a[href$='/revocation']")
        self.window.press("#revoke")
        self.window.wait(".govuk-error-summary")
        self.window.press(f"input[value='{reason}']")
        self.window.press("#understood")
        self.window.press("#revoke")
        self.window.gone("#revoke")
        self.window.wait("#listed", seconds=60)


def with_e_cert_file(ar: ARBrowser) -> None:
    """Sign the download with the e-Cert file, by the command that the page shows."""
    installation = ar.target.installation
    shutil.copy(installation.pki.people / f"{ar.person}.p12", ar.folder / "e-cert.p12")
    pin = installation.passwords[f"p12/{ar.person}"]
    status, shown = terminal.run(ar.shown("openssl cms -sign"), ar.folder, [("pass phrase", pin)] * 2)
    assert status == 0, shown


def with_token(ar: ARBrowser) -> None:
    """Sign the download with the token that is plugged in, by the commands that the page shows."""
    _install, module, *commands = ar.window.texts("#token pre.portal-code")
    here = re.sub(r'"/.*"', f'"{token.MODULE}"', module)
    status, shown = terminal.run("\n".join([here, *commands]), ar.folder, [("PIN", token.PIN)])
    assert status == 0, shown


def open_window(
    browser: Browser, target: Target, person: str, *, scripts: bool = True, imported: bool = True
) -> BrowserContext:
    """Open a window, with the person's e-Cert imported or not; certificate errors of the gateway's root are ignored."""
    ecert = target.ecert(person)
    host = f"https://signin.ecert.localhost:{target.installation.ports.gateway}"
    certificate = {"origin": host, "certPath": str(ecert.certificate), "keyPath": str(ecert.key)}
    return browser.new_context(
        client_certificates=[certificate] if imported else [],  # type: ignore[list-item]  # a TypedDict of theirs
        ignore_https_errors=True,
        java_script_enabled=scripts,
        accept_downloads=True,
    )
