"""Logs: one JSON object a line on standard output, with service and process in each."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import structlog

from shared.settings import shown

log = structlog.get_logger()


def configure(service: str, process: str, level: str = "INFO", *, out: TextIO | None = None) -> None:
    """Configure structlog and the standard library's logging, to `out` or standard output."""
    stream = out or sys.stdout
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _origin(service, process),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=out is None,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    # It warns about each login, and about each iteration of its own loop that a busy machine delays.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _origin(service: str, process: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"], event["process"] = service, process
        return event

    return add


@contextmanager
def start_and_end(settings: object) -> Iterator[None]:
    """Log the process's start with its settings but no secret, its failure if it fails, and its end."""
    process_id = os.getpid()
    log.info("process.started", settings=shown(settings))
    try:
        yield
    except Exception:
        log.critical("process.failed", exc_info=True)
        raise SystemExit(1) from None
    finally:
        if os.getpid() == process_id:  # gunicorn's worker unwinds its copy of the stack, too
            log.info("process.stopped")
