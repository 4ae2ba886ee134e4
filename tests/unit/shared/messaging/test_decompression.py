"""A batch of records is unpacked within bounds, and what is not is one record that says why."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import lz4.frame
import pytest
import zstandard
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from shared.errors import Undecodable
from shared.messaging import codec, decompression

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
PACK: dict[int, Callable[[bytes], bytes]] = {
    NONE: bytes,
    GZIP: gzip.compress,
    SNAPPY: bytes,
    LZ4: lambda data: lz4.frame.compress(data, block_linked=False),
    ZSTD: zstandard.ZstdCompressor().compress,
}


@pytest.fixture(autouse=True, scope="module")
def installed() -> None:
    """The limits apply in every process that uses Kafka."""
    decompression.install()


def batch(kind: int, values: Iterable[bytes], *, spoil: Callable[[bytes], bytes] = bytes) -> Any:
    """Return a batch at offset 40 as a broker hands it out, packed this way."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=NONE,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1, key=b"k", value=value, headers=[("ce_id", b"1")])
    made = bytearray(builder.build())
    size = DefaultRecordBatchBuilder.HEADER_STRUCT.size
    struct.pack_into(">q", made, 0, 40)
    struct.pack_into(">h", made, DefaultRecordBatchBuilder.ATTRIBUTES_OFFSET, kind)
    return DefaultRecordBatch(bytes(made[:size]) + spoil(PACK[kind](bytes(made[size:]))))


def why(read: list[Any]) -> str:
    """Return why a batch was not decompressed, as passed to the inbox."""
    [record] = read
    with pytest.raises(Undecodable) as refused:
        codec.from_record("payment.events", record.key, record.headers, record.value)
    return str(refused.value)


@pytest.mark.parametrize("kind", [NONE, GZIP, LZ4, ZSTD])
def test_compressed_batch_is_decompressed(kind: int) -> None:
    values = [b"a", b"", b"x" * 900_000]
    read = list(batch(kind, values))
    assert [record.value for record in read] == values
    assert [record.offset for record in read] == [40, 41, 42]


@pytest.mark.parametrize("kind", [GZIP, LZ4, ZSTD])
def test_decompression_bomb_is_refused(kind: int) -> None:
    bomb = batch(kind, [b"first", bytes(100 << 20)])
    packed = len(bomb._buffer)
    assert packed < 1 << 20, "the broker takes it"
    tracemalloc.start()
    read = list(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * decompression.MAX_BYTES + 3 * packed
    assert read[0].offset == 41, "what follows is read next"
    assert why(read) == "too large: the batch at offsets 40 to 41"


@pytest.mark.parametrize(("kind", "count"), [(NONE, 1001), (LZ4, 100_000), (SNAPPY, 1001)])
def test_batch_with_too_many_records_is_refused(kind: int, count: int) -> None:
    assert why(list(batch(kind, [b""] * count))) == f"too many records: the batch at offsets 40 to {39 + count}"


def test_batch_with_the_maximum_of_records_is_read() -> None:
    assert len(list(batch(LZ4, [b""] * decompression.MAX_RECORDS))) == decompression.MAX_RECORDS


def test_unused_compression_is_refused() -> None:
    assert why(list(batch(SNAPPY, [b"x"]))) == "unknown compression: the batch at offsets 40 to 40"


@pytest.mark.parametrize("kind", [GZIP, LZ4, ZSTD])
def test_damaged_batch_is_refused_with_its_offsets(kind: int) -> None:
    spoilt = batch(kind, [b"x" * 1000], spoil=lambda data: b"junk" + data)
    assert why(list(spoilt)) == "damaged: the batch at offsets 40 to 40"
