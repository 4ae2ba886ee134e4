"""Faults of the SCTs in a certificate that anybody can see, and those that a log list shows."""

from datetime import timedelta

import pytest

from services.issuance.ca import profiles
from services.issuance.ca.validity_policy import validity
from services.issuance.ct import certificate_check, scts, tbs
from services.issuance.ct.log_list import Log, LogList, Protocol
from services.issuance.ct.scts import SCT
from tests.unit.services.issuance.pki import ADDRESSES, NOW, issuing_ca, leaf

IN_MARCH_2027 = NOW + timedelta(days=130)


def sct(number: int) -> SCT:
    return SCT(log_id=bytes([number]) * 32, timestamp=1, extensions=b"", signature=b"\x04\x03\x00\x00")


def certificate(*numbers: int, short: bool = False, sct_list: bytes | None = None) -> bytes:
    ca, signer = issuing_ca()
    lives = validity(IN_MARCH_2027 if short else NOW)
    plain = profiles.leaf_tbs(leaf(lives=lives), ca, ADDRESSES, signer.algorithm)
    made = plain
    if numbers or sct_list is not None:
        given = scts.encode_list(tuple(map(sct, numbers))) if sct_list is None else sct_list
        made = tbs.certificate(tbs.precertificate(plain), given)
    return profiles.assemble(made, signer.algorithm, signer.sign(made))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (certificate(1, 2, 3), ()),
        (certificate(1, 2, short=True), ()),
        (certificate(1, 2), ("too_few_scts",)),
        (certificate(1, 2, 2), ("scts_of_one_log",)),
        (certificate(), ("no_scts",)),
        (certificate(sct_list=b"\0\1"), ("scts_malformed",)),
    ],
)
def test_faults_of_the_scts_are_named(made: bytes, expected: tuple[str, ...]) -> None:
    assert certificate_check.faults(made) == expected


def log(number: int, operator: str, protocol: Protocol) -> Log:
    return Log(
        log_id=bytes([number]) * 32,
        key=b"",
        description=f"Log {number}",
        operator=operator,
        protocol=protocol,
        url="https://log.example/",
        monitoring_url="https://log.example/",
        mmd_seconds=86400,
        states={},
        begins=None,
        ends=None,
    )


# Logs 1, 2 and 5 are of one operator; 3 and 4 of another one, of which 3 and 1 follow RFC 6962.
LOGS = LogList(
    made_at=NOW,
    logs=(
        log(1, "A", Protocol.RFC_6962),
        log(2, "A", Protocol.STATIC),
        log(5, "A", Protocol.STATIC),
        log(3, "B", Protocol.RFC_6962),
        log(4, "B", Protocol.STATIC),
    ),
)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (certificate(1, 2, 3), ()),
        (certificate(2, 5, 3), ()),
        (certificate(1, 2, 3, 4), ()),
        (certificate(1, 3, short=True), ()),
        (certificate(1, 2, 5), ("scts_of_like_operators",)),
        (certificate(1, 2, 5, 3), ()),
        (certificate(1, 2, short=True), ("scts_of_like_operators",)),
        (certificate(2, 5, 4), ("no_sct_of_rfc6962_log",)),
        (certificate(2, 4, short=True), ("no_sct_of_rfc6962_log",)),
        (certificate(1, 3, 9), ("sct_of_unknown_log",)),
        (certificate(1, 3), ("too_few_scts",)),
        (certificate(1, 2), ("too_few_scts",)),
        (certificate(1, 3, 3), ("scts_of_one_log",)),
        (certificate(), ("no_scts",)),
    ],
)
def test_log_list_shows_unknown_logs_and_those_that_are_too_much_alike(made: bytes, expected: tuple[str, ...]) -> None:
    assert certificate_check.faults(made, LOGS) == expected


def test_precertificate_needs_no_scts() -> None:
    ca, signer = issuing_ca()
    made = tbs.precertificate(profiles.leaf_tbs(leaf(), ca, ADDRESSES, signer.algorithm))
    assert certificate_check.faults(profiles.assemble(made, signer.algorithm, signer.sign(made))) == ()
