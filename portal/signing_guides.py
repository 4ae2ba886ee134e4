"""Guides for signing a file outside the browser: with an e-Cert file, an old one, a token, or the Windows store.

Every command of a guide marked as tried is run by tests/browser/portal/test_signing_commands.py, and identity's
verifier accepts its output.
"""

from typing import Final

from portal.guides import Guide, Step
from portal.languages import N_

# Detached CMS, CAdES B-B, with the signer's certificate only: the form that identity verifies.
_SIGN: Final = "openssl cms -sign -binary -cades -md sha256 -outform DER"
# Convert an old file to a format that browsers read. No pipe: the second command reads its input twice.
CONVERT: Final = (
    "openssl pkcs12 -legacy -in e-cert.p12 -out between.pem",
    "openssl pkcs12 -export -in between.pem -out new-e-cert.p12",
)


def guides(file: str, signature: str) -> tuple[Guide, ...]:
    """Return the ways to sign a file of this name, the most common first."""
    both = f'-in "{file}" -out "{signature}"'
    return (_e_cert_file(both), _old_file(both), _token(both), _windows(file, signature))


def _e_cert_file(both: str) -> Guide:
    return Guide(
        key="openssl",
        title=N_("With OpenSSL 3 and your e-Cert file"),
        steps=(
            Step(
                N_("In the folder of the download, with your e-Cert file’s name. It asks for the e-Cert PIN twice."),
                f"{_SIGN} -signer e-cert.p12 -inkey e-cert.p12 {both}",
            ),
        ),
    )


def _old_file(both: str) -> Guide:
    return Guide(
        key="old-file",
        title=N_("With OpenSSL 3 and an old e-Cert file (RC2 or 3DES)"),
        steps=(
            Step(
                N_("If OpenSSL says “unsupported”, or this page speaks of an old way, tell OpenSSL to read old files."),
                f"{_SIGN} -provider default -provider legacy -signer e-cert.p12 -inkey e-cert.p12 {both}",
            ),
            Step(
                N_("Or convert the file, for browsers too. It asks for the e-Cert PIN, then twice for a new password."),
                CONVERT[0],
            ),
            Step(
                N_("Now that password is asked for, and twice the PIN of the new file. Delete between.pem afterwards."),
                CONVERT[1],
            ),
        ),
    )


def _token(both: str) -> Guide:
    return Guide(
        key="token",
        title=N_("With a token (PKCS#11), OpenSC and OpenSSL 3 on Linux or macOS"),
        steps=(
            Step(
                N_("Install OpenSC and OpenSSL’s PKCS#11 engine, on Debian and Ubuntu so"),
                "sudo apt install opensc libengine-pkcs11-openssl",
            ),
            Step(
                N_("Say where the module of your token’s software is; its maker’s guide tells"),
                'export PKCS11_MODULE_PATH="/usr/lib/libeToken.so"',
            ),
            Step(
                N_("Plug in the token and look for the ID of your e-Cert"),
                'pkcs11-tool --module "$PKCS11_MODULE_PATH" --list-objects --type cert',
            ),
            Step(
                N_("Copy the certificate, with that ID instead of 01"),
                'pkcs11-tool --module "$PKCS11_MODULE_PATH" --read-object --type cert --id 01 --output-file e-cert.der',
            ),
            Step(
                N_("Sign, with that ID again. It asks for the PIN of the token."),
                f'{_SIGN} -signer e-cert.der -engine pkcs11 -keyform engine -inkey "pkcs11:id=%01;type=private" {both}',
            ),
        ),
    )


def _windows(file: str, signature: str) -> Guide:
    # SigningCertificateV2 (RFC 5035) with one hash in the default algorithm, SHA-256, is this head and the hash.
    return Guide(
        key="windows",
        title=N_("With PowerShell and the certificates that Windows keeps"),
        tried=False,
        steps=(
            Step(
                N_("In the folder of the download. A window lets you choose your e-Cert, in Windows or on its token."),
                "Add-Type -AssemblyName System.Security\n"
                "$cert = Get-ChildItem Cert:\\CurrentUser\\My | Out-GridView -OutputMode Single\n"
                f'$bytes = [IO.File]::ReadAllBytes("$PWD\\{file}")\n'
                "$content = New-Object Security.Cryptography.Pkcs.ContentInfo -ArgumentList (,$bytes)\n"
                "$cms = New-Object Security.Cryptography.Pkcs.SignedCms $content, $true\n"
                "$signer = New-Object Security.Cryptography.Pkcs.CmsSigner $cert\n"
                '$signer.IncludeOption = "EndCertOnly"\n'
                '$signer.DigestAlgorithm = New-Object Security.Cryptography.Oid "2.16.840.1.101.3.4.2.1"\n'
                "$hash = [Security.Cryptography.SHA256]::Create().ComputeHash($cert.RawData)\n"
                "$ess = [byte[]]((0x30,0x26,0x30,0x24,0x30,0x22,0x04,0x20) + $hash)\n"
                "$attributes = $signer.SignedAttributes\n"
                "[void]$attributes.Add((New-Object Security.Cryptography.Pkcs.Pkcs9SigningTime))\n"
                "[void]$attributes.Add((New-Object Security.Cryptography.AsnEncodedData "
                '"1.2.840.113549.1.9.16.2.47", $ess))\n'
                "$cms.ComputeSignature($signer, $false)\n"
                f'[IO.File]::WriteAllBytes("$PWD\\{signature}", $cms.Encode())',
            ),
        ),
    )
