"""Check of the SCTs in a certificate, without a log list: enough of them, of different logs."""

from collections.abc import Iterator

from cryptography import x509

from services.issuance.ct import policy, scts, tbs
from services.issuance.ct.encoding import Malformed
from services.issuance.ct.tbs import NotSuchTBS


def faults(certificate: bytes) -> tuple[str, ...]:
    """Return the stable names of what is wrong with the SCTs; nothing for a precertificate, which has none.

    Raises ValueError if the bytes are no certificate in DER.
    """
    parsed = x509.load_der_x509_certificate(certificate)
    if tbs.is_precertificate(parsed.tbs_certificate_bytes):
        return ()
    try:
        found = scts.decode_list(tbs.sct_list_of(parsed.tbs_certificate_bytes))
    except NotSuchTBS:
        return ("no_scts",)
    except Malformed:
        return ("scts_malformed",)
    return tuple(_faults(parsed, found))


def _faults(parsed: x509.Certificate, found: tuple[scts.SCT, ...]) -> Iterator[str]:
    begins = parsed.not_valid_before_utc
    if len(found) < policy.rule_for(begins, parsed.not_valid_after_utc, begins).scts:
        yield "too_few_scts"
    if len({each.log_id for each in found}) != len(found):
        yield "scts_of_one_log"
