"""Check of the SCTs in a certificate: enough, of different logs and, by a log list, of logs that browsers accept."""

from collections.abc import Iterator
from dataclasses import replace

from cryptography import x509

from services.issuance.ct import policy, scts, tbs
from services.issuance.ct.encoding import Malformed
from services.issuance.ct.log_list import LogList
from services.issuance.ct.policy import SCTRule
from services.issuance.ct.tbs import NotSuchTBS


def faults(certificate: bytes, log_list: LogList | None = None) -> tuple[str, ...]:
    """Return the stable names of what is wrong with the SCTs; nothing for a precertificate, which has none.

    Without a log list, nothing is known of the logs but their ids. The rule is that of the certificate's first day.
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
    return tuple(_faults(parsed, found, log_list))


def _faults(parsed: x509.Certificate, found: tuple[scts.SCT, ...], log_list: LogList | None) -> Iterator[str]:
    begins = parsed.not_valid_before_utc
    rule = policy.rule_for(begins, parsed.not_valid_after_utc, begins)
    ids = [each.log_id for each in found]
    if len(found) < rule.scts:
        yield "too_few_scts"
    if len(set(ids)) != len(ids):
        yield "scts_of_one_log"
    elif len(ids) >= rule.scts and log_list is not None:
        yield from _of_logs(ids, log_list, rule)


def _of_logs(ids: list[bytes], log_list: LogList, rule: SCTRule) -> Iterator[str]:
    """Yield what is wrong with the logs of enough SCTs; more than enough do no harm."""
    by_id = {each.log_id: each for each in log_list.logs}
    if not by_id.keys() >= set(ids):
        yield "sct_of_unknown_log"
        return
    logs = [by_id[each] for each in ids]
    if policy.chosen(replace(rule, of_protocol=None), logs) is None:
        yield "scts_of_like_operators"
    elif policy.chosen(rule, logs) is None:
        yield "no_sct_of_rfc6962_log"
