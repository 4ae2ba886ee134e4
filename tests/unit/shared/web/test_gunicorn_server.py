"""gunicorn's own lines are JSON, as all others are."""

import io
import json
import logging
import sys

import structlog
from gunicorn.config import Config

from shared.observability import logs
from shared.web.gunicorn_server import _Logger


def test_gunicorn_log_lines_are_json() -> None:
    root = logging.getLogger()
    before, level, ours = root.handlers[:], root.level, structlog.get_config()
    out, err = io.StringIO(), io.StringIO()
    stderr, sys.stderr = sys.stderr, err
    try:
        logs.configure("issuance", "web", out=out)
        config = Config()
        config.set("loglevel", "warning")
        logger = _Logger(config)
        logger.warning("Worker (pid:%s) was sent SIGKILL!", 7)
        try:
            raise ValueError("a worker's end")
        except ValueError:
            logger.exception("Exception in worker process")
    finally:
        sys.stderr = stderr
        root.handlers[:] = before
        root.setLevel(level)
        structlog.configure(**ours)
    killed, failed = map(json.loads, out.getvalue().splitlines())
    assert (killed["event"], killed["level"]) == ("Worker (pid:7) was sent SIGKILL!", "warning")
    assert (killed["service"], killed["process"]) == ("issuance", "web")
    assert "a worker's end" in failed["exception"]
    assert err.getvalue() == ""
