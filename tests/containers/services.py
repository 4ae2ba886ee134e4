"""Services of a cluster, replaced: one address for all pods that are ready, each new connection to the next of them."""

import asyncio
import itertools
import threading
from collections.abc import Sequence
from contextlib import suppress


class Services:
    """Forwards connections on loopback; where each port leads can be changed at any time, as endpoints do."""

    def __init__(self) -> None:
        self._leads: dict[int, tuple[int, ...]] = {}
        self._servers: list[asyncio.Server] = []
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def lead(self, port: int, to: Sequence[int]) -> None:
        """Send new connections of this port to these ports, one after the other; what is open stays."""
        known, self._leads[port] = port in self._leads, tuple(to)
        if not known:
            listening = asyncio.start_server(lambda *ends: self._forward(port, *ends), "127.0.0.1", port)
            self._servers.append(asyncio.run_coroutine_threadsafe(listening, self._loop).result(10))

    def stop(self) -> None:
        """Listen no more, and let go of what is open."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _forward(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        leads = self._leads[port]
        try:
            if not leads:
                return
            there = await asyncio.open_connection("127.0.0.1", leads[next(self._turn) % len(leads)])
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        except OSError:
            pass  # nobody there: the caller sees the connection closed
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
