"""A link to the object store that is as slow as a file says: ``python slow_link.py PORT STORE_PORT FILE``.

This kernel has no netem, which delays packets; here every piece of a stream waits.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

PIECE = 65536


def delay(file: Path) -> float:
    """Seconds; none while the file is not there."""
    return float(file.read_text()) if file.is_file() else 0.0


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, file: Path) -> None:
    try:
        while piece := await reader.read(PIECE):
            await asyncio.sleep(delay(file))
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(port: int, store: int, file: Path) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", store)
        await asyncio.gather(carry(reader, forth, file), carry(back, writer, file))

    server = await asyncio.start_server(connected, "0.0.0.0", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
