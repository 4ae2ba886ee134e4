"""The client of logs against one that sends its answer byte by byte: no single read takes long."""

import pytest

from services.issuance.ct.log_client import LogClient
from shared.web.https_client import APIUnavailable
from tests.support.dripping import BEGINNINGS, dripping, within


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("begins", BEGINNINGS.values(), ids=BEGINNINGS)
def test_answer_byte_by_byte_is_unavailable_after_the_time_for_the_whole(begins: bytes, method: str) -> None:
    client = LogClient(read_timeout=0.4)
    with dripping(begins) as port, within(1.5), pytest.raises(APIUnavailable, match=r"no reply .*timed out"):
        url = f"http://127.0.0.1:{port}/log/"
        getattr(client, method)(url, "ct/v1/any", {}, max_bytes=2**20)
