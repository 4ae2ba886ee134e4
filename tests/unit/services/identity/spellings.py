"""All that a signature may be turned into without its signer, and still be the same: what it does not cover.

CMS signs the attributes. What stands outside them and the certificate that they name can be respelt by anybody on
the way, where the standards give one meaning two spellings and oblige the reader to take both.
"""

import itertools
from collections.abc import Iterator
from typing import Final

from asn1crypto import algos, cms, core, x509

# A hash without parameters or with NULL: "implementations MUST accept both" (RFC 4055 2.1, RFC 5754 2, RFC 8017 B.1).
HASH_SPELLINGS: Final = tuple(
    bytes.fromhex(spelling) for spelling in ("300b0609608648016503040201", "300d06096086480165030402010500")
)
# With PKCS #1 v1.5 the hash may be named twice or once (RFC 3370 3.2, RFC 5754 3.2).
_PKCS1_SPELLINGS: Final = tuple(
    bytes.fromhex(spelling) for spelling in ("300d06092a864886f70d01010b0500", "300d06092a864886f70d0101010500")
)


def _pss_spellings(salt_length: int) -> Iterator[bytes]:
    for of_message, of_mask in itertools.product(HASH_SPELLINGS, repeat=2):
        parameters = {
            "hash_algorithm": algos.DigestAlgorithm.load(of_message),
            "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": algos.DigestAlgorithm.load(of_mask)},
            "salt_length": salt_length,
        }
        whole = {"algorithm": "rsassa_pss", "parameters": algos.RSASSAPSSParams(parameters)}
        yield algos.SignedDigestAlgorithm(whole).dump()


def _signer_ids(certificate: x509.Certificate) -> Iterator[tuple[str, cms.SignerIdentifier]]:
    """Yield identifiers by issuer and serial number, or by key identifier (RFC 5652 5.3), each with its version."""
    names = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
    yield "v1", cms.SignerIdentifier("issuer_and_serial_number", names)
    yield "v3", cms.SignerIdentifier("subject_key_identifier", core.OctetString(certificate.key_identifier))


def spellings(signature: bytes) -> set[bytes]:
    """Return every spelling of this SHA-256 and RSA signature that means the same, itself among them."""
    content = cms.ContentInfo.load(signature)["content"]
    signer = content["signer_infos"][0]
    scheme = signer["signature_algorithm"]
    schemes = (
        tuple(_pss_spellings(scheme["parameters"]["salt_length"].native))
        if scheme["algorithm"].native == "rsassa_pss"
        else _PKCS1_SPELLINGS
    )
    ids = _signer_ids(content["certificates"][0].chosen)
    return {_spelt(signature, *how) for how in itertools.product(HASH_SPELLINGS, schemes, ids)}


def _spelt(signature: bytes, digest: bytes, scheme: bytes, signer_id: tuple[str, cms.SignerIdentifier]) -> bytes:
    whole = cms.ContentInfo.load(signature)
    signed_data = whole["content"]
    signer = signed_data["signer_infos"][0]
    signed_data["version"] = signer["version"] = signer_id[0]
    signed_data["digest_algorithms"] = [algos.DigestAlgorithm.load(digest)]
    signer["digest_algorithm"] = algos.DigestAlgorithm.load(digest)
    signer["signature_algorithm"] = algos.SignedDigestAlgorithm.load(scheme)
    signer["sid"] = signer_id[1]
    return bytes(whole.dump(force=True))
