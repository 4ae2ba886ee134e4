"""Correspondence of a certificate to its linted precertificate, which spares a second lint (Baseline Requirements
4.3.1.2; RFC 6962, 3.2).
"""

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from services.issuance.ct import policy, scts, tbs
from services.issuance.ct.encoding import Malformed
from services.issuance.ct.log_list import Log, LogList
from services.issuance.ct.scts import SCT, SCTRefused
from services.issuance.ct.submission import Submission
from services.issuance.ct.tbs import NotSuchTBS, PairDiffers


class CertificateRefused(Exception):
    """The certificate is not its precertificate with the SCTs that browsers ask for. It is not signed."""


def check(
    submission: Submission, precertificate_tbs: bytes, certificate_tbs: bytes, log_list: LogList, now: datetime
) -> None:
    """Check that the certificate's bytes are those of its precertificate, as it was submitted, but for the SCT list.

    That list has the one encoding that issuance makes, noncritical, at the place of the poison. Each SCT is signed by
    a log of the list over these bytes, and all together meet the browsers' rule of the day.
    Raises CertificateRefused.
    """
    try:
        if x509.load_der_x509_certificate(submission.precertificate).tbs_certificate_bytes != precertificate_tbs:
            raise PairDiffers("from what was submitted")
        tbs.check_pair(precertificate_tbs, certificate_tbs)
        found = scts.decode_list(tbs.sct_list_of(certificate_tbs))
        if tbs.certificate(precertificate_tbs, scts.encode_list(found)) != certificate_tbs:
            raise PairDiffers("in form or place of the SCT list")
        logs = list(_logs(submission, found, log_list, now))
    except (PairDiffers, NotSuchTBS, Malformed, SCTRefused) as error:
        raise CertificateRefused(f"{type(error).__name__}: {error}") from error
    if not policy.rule_for(submission.not_before, submission.not_after, now).is_met(logs):
        raise CertificateRefused(f"SCTs that are too few or alike: {[each.description for each in logs]}")


def _logs(submission: Submission, found: tuple[SCT, ...], log_list: LogList, now: datetime) -> Iterator[Log]:
    """Yield the log of each SCT, which it has signed. Raises CertificateRefused or SCTRefused."""
    by_id = {each.log_id: each for each in log_list.logs}
    for sct in found:
        log = by_id.get(sct.log_id)
        if log is None:
            raise CertificateRefused(f"an SCT of a log that is not on the list: {sct.log_id.hex()}")
        scts.verify(sct, log, submission.entry, now)
        yield log
