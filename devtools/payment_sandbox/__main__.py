"""Command line of the sandbox payment provider: `python -m devtools.payment_sandbox`."""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

ENVIRONMENT = """environment:
  SANDBOX_API_KEY           the merchant's secret key (begins with sk_sandbox_)
  SANDBOX_WEBHOOK_URL       where signed webhooks go
  SANDBOX_WEBHOOK_SECRETS   whsec_… (base64), comma-separated; every webhook is signed with each
  SANDBOX_WEBHOOK_TLS_NAME  optional: the name the webhook server's certificate must carry, also sent as Host
  SANDBOX_WEBHOOK_CA_FILE   optional: the anchors for that certificate
"""
REQUIRED = ("SANDBOX_API_KEY", "SANDBOX_WEBHOOK_URL", "SANDBOX_WEBHOOK_SECRETS")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Parse the arguments, then become gunicorn."""
    parser = argparse.ArgumentParser(
        prog="python -m devtools.payment_sandbox",
        description=__doc__,
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--store", type=Path, required=True, help="SQLite file; made when missing")
    parser.add_argument("--public-url", help="address for the payer's browser (default: http://127.0.0.1:PORT)")
    options = parser.parse_args(arguments)
    if missing := [name for name in REQUIRED if not os.environ.get(name)]:
        parser.error(f"missing in the environment: {', '.join(missing)}")
    if not os.environ["SANDBOX_API_KEY"].startswith("sk_sandbox_"):
        parser.error("SANDBOX_API_KEY must begin with sk_sandbox_, so that production settings can refuse it")
    options.store.parent.mkdir(parents=True, exist_ok=True)
    os.environ["SANDBOX_STORE"] = str(options.store.resolve())
    os.environ["SANDBOX_PUBLIC_URL"] = options.public_url or f"http://127.0.0.1:{options.port}"
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *_gunicorn_options(options.host, options.port)])  # noqa: S606


def _gunicorn_options(host: str, port: int) -> list[str]:
    return [
        "devtools.payment_sandbox.app:create_app()",
        f"--bind={host}:{port}",
        "--worker-class=gthread",
        "--workers=1",
        "--threads=8",
        "--graceful-timeout=5",
        "--no-control-socket",
        "--log-level=warning",
        "--name=payment-sandbox",
    ]


if __name__ == "__main__":
    main()
