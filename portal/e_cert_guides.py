"""Guides for importing an e-Cert into a browser, step by step: for each browser, for the USB stick, for tokens."""

from dataclasses import dataclass
from typing import Final

from portal.languages import N_


@dataclass(frozen=True, kw_only=True)
class Walk:
    """An instruction in steps; texts in English, to be translated."""

    key: str
    title: str
    steps: tuple[str, ...]


_REOPEN: Final = N_("Close all windows of the browser and open it again.")

USB: Final = Walk(
    key="usb",
    title=N_("Your e-Cert is on an e-Cert File USB"),
    steps=(
        N_("Plug in the e-Cert File USB. It is a plain memory stick: no software is needed for it."),
        N_("Open it. Your e-Cert is the file whose name ends in .p12; do not move, rename or change it."),
        N_("Import that file into your browser as described below, or choose it where these pages ask for a file."),
        N_("Remove the stick and keep it in a safe place, apart from the e-Cert PIN."),
    ),
)
BROWSERS: Final = (
    Walk(
        key="windows",
        title=N_("Chrome or Edge on Windows"),
        steps=(
            N_("Open the .p12 file by a double click. The Certificate Import Wizard begins."),
            N_("Choose “Current User”, then go on to the password: enter the e-Cert PIN."),
            N_("Select strong protection of the private key, so that Windows asks before the key is used."),
            N_("Let Windows select the certificate store, and finish."),
            _REOPEN,
        ),
    ),
    Walk(
        key="macos",
        title=N_("Chrome or Edge on macOS"),
        steps=(
            N_("Open Keychain Access and select the keychain “login”."),
            N_("Choose File, Import Items, select the .p12 file, and enter the e-Cert PIN."),
            _REOPEN,
        ),
    ),
    Walk(
        key="linux",
        title=N_("Chrome or Edge on Linux"),
        steps=(
            N_("Enter chrome://certificate-manager as the address; in Edge it is edge://certificate-manager."),
            N_("Choose “Your certificates”, then the certificates imported from Linux, and “Import”."),
            N_("Select the .p12 file and enter the e-Cert PIN."),
            _REOPEN,
        ),
    ),
    Walk(
        key="firefox",
        title=N_("Firefox on Windows, macOS or Linux"),
        steps=(
            N_("Open Settings, “Privacy & Security”, and there “View Certificates”."),
            N_("On the page “Your Certificates” choose “Import”."),
            N_("Select the .p12 file and enter the e-Cert PIN."),
        ),
    ),
)
TOKEN: Final = Walk(
    key="token",
    title=N_("Your e-Cert is on a token"),
    steps=(
        N_("Install the software of the token’s vendor, and plug in the token."),
        N_("Chrome and Edge on Windows and macOS find the e-Cert on it by themselves."),
        N_("In Firefox open Settings, “Privacy & Security”, “Security Devices”, “Load”, and name the vendor’s module."),
        N_("In Chrome on Linux add that module by: modutil -dbdir sql:$HOME/.pki/nssdb -add token -libfile MODULE"),
        _REOPEN,
    ),
)
