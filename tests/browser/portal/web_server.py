"""The AR's web server: Debian's nginx with the new certificates, asked by curl as by any visitor."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.waiting import free_port, is_taken, wait_until
from tests.browser.programs import need, path_of

_MAIN: Final = """
{user}daemon off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{servers}
}}
"""
_SERVER: Final = """
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name {names};
    ssl_certificate {chain};
    ssl_certificate_key {key};
    return 200 "{says}";
  }}
"""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A certificate file as the portal gives it, the key that never left the server, and their names."""

    names: Sequence[str]
    chain: Path
    key: Path


@contextlib.contextmanager
def serving(folder: Path, sites: Sequence[Installed]) -> Iterator[int]:
    """Run nginx with these certificates, chosen by name, on the port that is given; it answers with the first name."""
    need("nginx", "curl")
    folder.mkdir()
    port = free_port()
    servers = "".join(
        _SERVER.format(port=port, names=" ".join(site.names), chain=site.chain, key=site.key, says=site.names[0])
        for site in sites
    )
    # Root's own folders are closed to the user that nginx would change to.
    user = "user root;\n" if os.geteuid() == 0 else ""
    folder.joinpath("nginx.conf").write_text(_MAIN.format(user=user, servers=servers))
    command = [path_of("nginx") or "nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    with subprocess.Popen(command) as nginx:
        try:
            wait_until(lambda: is_taken(port) or nginx.poll() is not None, limit=10, what="nginx")
            yield port
        finally:
            nginx.terminate()


def visit(name: str, port: int, root: Path) -> str:
    """Return curl's answer for this name with this root alone. Raises CalledProcessError if curl does not trust it."""
    command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(root)]
    address = ["--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/"]
    return subprocess.run([*command, *address], check=True, capture_output=True, text=True).stdout
