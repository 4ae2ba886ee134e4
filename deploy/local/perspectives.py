"""Perspectives of one machine: their places, as if each stood there, and the certificates between them and issuance."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from deploy.local.inside import InsideCA
from deploy.local.passwords import write_private

# The list that issuance reads.
LIST: Final = "perspectives.json"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A perspective and its place: the region of its Internet registry, and its coordinates in degrees."""

    name: str
    registry: str
    latitude: float
    longitude: float

    @property
    def host(self) -> str:
        """The name in its certificate."""
        return f"{self.name}.perspectives.ecert.test"


# Hong Kong, Singapore, Frankfurt, Ashburn, São Paulo and Johannesburg. The first one is the primary perspective.
PLACES: Final = (
    Place(name="hkg", registry="APNIC", latitude=22.3193, longitude=114.1694),
    Place(name="sin", registry="APNIC", latitude=1.3521, longitude=103.8198),
    Place(name="fra", registry="RIPE", latitude=50.1109, longitude=8.6821),
    Place(name="iad", registry="ARIN", latitude=39.0438, longitude=-77.4874),
    Place(name="gru", registry="LACNIC", latitude=-23.5505, longitude=-46.6333),
    Place(name="jnb", registry="AFRINIC", latitude=-26.2041, longitude=28.0473),
)
PRIMARY: Final = PLACES[0].name


def describe(addresses: Mapping[str, str]) -> str:
    """Return the list of perspectives as JSON, with the address (host:port) at which each is reached."""
    return json.dumps(
        [
            {
                "name": place.name,
                "role": "primary" if place.name == PRIMARY else "remote",
                "url": f"https://{place.host}",
                "address": addresses[place.name],
                "rir": place.registry,
                "latitude": place.latitude,
                "longitude": place.longitude,
            }
            for place in PLACES
        ],
        indent=1,
    )


def write(folder: Path, ports: Mapping[str, int], now: datetime) -> None:
    """Write the list and all certificates: NAME.pem and NAME.key under ca.pem, issuance's under clients.pem.

    The two CAs differ, so that no perspective can ask another. Their keys are not kept: each start writes all again.
    """
    servers, clients = InsideCA.make("perspectives", now=now), InsideCA.make("clients of perspectives", now=now)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(servers.pem)
    (folder / "clients.pem").write_bytes(clients.pem)
    clients.issue(["issuance"], folder / "issuance")
    for place in PLACES:
        servers.issue([place.host], folder / place.name)
    write_private(folder / LIST, describe({name: f"127.0.0.1:{port}" for name, port in ports.items()}))
