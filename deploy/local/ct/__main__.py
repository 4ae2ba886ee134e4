"""Process of the logs: `python -m deploy.local.ct`."""

import argparse
import logging
import signal
import threading
from pathlib import Path

from cryptography import x509
from werkzeug.serving import make_server

from deploy.local.ct.app import create_app
from deploy.local.ct.logs import open_logs


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.ct", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the keys and the log list")
    parser.add_argument("--database", type=Path, help="file of the entries; beside the keys if not given")
    parser.add_argument("--roots", type=Path, required=True, help="accepted roots (PEM)")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    roots = x509.load_pem_x509_certificates(options.roots.read_bytes())
    database, logs = open_logs(options.folder, roots, options.database)
    server = make_server(options.address, options.port, create_app(logs), threaded=True)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: threading.Thread(target=server.shutdown).start())
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        database.close()


if __name__ == "__main__":
    main()
