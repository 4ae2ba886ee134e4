"""Size limits for decompressing record batches (zip-bomb protection). Patches kafka-python's DefaultRecordBatch.

A batch of one megabyte, the broker's limit, can decompress to gigabytes or to a million records. None of ours does: the
relay writes at most 500 records and little more than its batch size. A batch beyond the limits, or one that cannot be
decompressed, is read as a single record with the reason; it stands for the whole batch, and the inbox holds it like any
other undecodable record.
"""

import zlib
from typing import Any, Final

import lz4.frame
import zstandard
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from prometheus_client import Counter

from shared.messaging.codec import UNREADABLE

MAX_BYTES: Final = 2 * 1024 * 1024
MAX_RECORDS: Final = 1_000
_MAX_WINDOW: Final = 8 * 1024 * 1024

UNREAD = Counter("consumer_unreadable_batches_total", "Record batches rejected by the decompression limits", ["why"])

_read_strictly: Final = DefaultRecordBatch._read_msg


class _Unreadable(Exception):
    """The batch is rejected; the message has the reason."""


def _unpack(batch: Any) -> None:
    """Decompress within limits; replaces kafka-python's `_maybe_uncompress`, which has none."""
    if batch._decompressed:
        return
    batch._decompressed = True
    try:
        if batch._num_records > MAX_RECORDS:
            raise _Unreadable("too many records")
        if batch.compression_type != batch.CODEC_NONE:
            batch._buffer = bytearray(_unpacked(batch, bytes(batch._buffer[batch._pos :])))
            batch._pos = 0
    except _Unreadable as unreadable:
        UNREAD.labels(str(unreadable)).inc()
        batch._buffer, batch._pos, batch._num_records = _stand_in(batch, str(unreadable)), 0, 1


def _unpacked(batch: Any, packed: bytes) -> bytes:
    try:
        match batch.compression_type:
            case batch.CODEC_LZ4:
                unpacked = lz4.frame.LZ4FrameDecompressor().decompress(packed, MAX_BYTES + 1)
            case batch.CODEC_GZIP:
                unpacked = zlib.decompressobj(wbits=31).decompress(packed, MAX_BYTES + 1)
            case batch.CODEC_ZSTD:
                reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(packed)
                unpacked = reader.read(MAX_BYTES + 1)
            case _:
                raise _Unreadable("unknown compression")
    except (RuntimeError, zlib.error, zstandard.ZstdError) as error:
        raise _Unreadable("damaged") from error
    if len(unpacked) > MAX_BYTES:
        raise _Unreadable("too large")
    return bytes(unpacked)


def _stand_in(batch: Any, why: str) -> bytearray:
    """Return one encoded record in the place of the batch's last one."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=batch.CODEC_NONE,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1024,
    )
    text = f"{why}: the batch at offsets {batch.base_offset} to {batch.last_offset}"
    headers = [(UNREADABLE, text.encode())]
    builder.append(batch.last_offset_delta, timestamp=batch.first_timestamp, key=None, value=None, headers=headers)
    return bytearray(builder.build()[DefaultRecordBatchBuilder.HEADER_STRUCT.size :])


class _AnyText(bytearray):
    """Bytes of a batch that decode as text whatever they are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _AnyText(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


def _read_whatever_its_headers_are_called(batch: Any) -> Any:
    """Read a record as kafka-python does, but accept header names that are not UTF-8, which would end the consumer.

    Kafka accepts such a record from any writer of the topic; the inbox then treats it like any other.
    """
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        strict, batch._buffer = batch._buffer, _AnyText(batch._buffer)
        try:
            return _read_strictly(batch)
        finally:
            batch._buffer = strict


def install() -> None:
    """Patch kafka-python in this process: kafka_clients calls this before it makes a consumer."""
    DefaultRecordBatch._maybe_uncompress = _unpack
    DefaultRecordBatch._read_msg = _read_whatever_its_headers_are_called
