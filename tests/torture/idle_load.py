"""Connections that only stand there, and others that ask at a constant rate: one process, one loop.

python -m torture.idle_load PORT IDLE ACTIVE RATE SECONDS PATH: prints "idle N" when they stand, waits for a line on stdin, loads,
prints its figures as JSON, and ends with the next line. Each idle connection has asked once, so that it holds what it will hold.
"""

import asyncio
import json
import sys
import time

OPENING_AT_ONCE = 200


async def connect(port: int):
    return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port, limit=1 << 16), 30)


async def ask(reader, writer, path: str) -> int:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await asyncio.wait_for(reader.readexactly(length), 30)
    return int(head.split(b" ", 2)[1])


async def stand(port: int, count: int, path: str) -> list:
    gate, standing = asyncio.Semaphore(OPENING_AT_ONCE), []

    async def one():
        async with gate:
            pair = await connect(port)
            await ask(*pair, path)
            standing.append(pair)
    await asyncio.gather(*(one() for _ in range(count)))
    return standing


async def load(port: int, connections: int, rate: float, seconds: float, path: str) -> dict:
    """Requests begin at fixed times, whatever the answers take; the time counts from when each should have begun."""
    pairs = [await connect(port) for _ in range(connections)]
    free = asyncio.Queue()
    for pair in pairs:
        free.put_nowait(pair)
    times, failed = [], 0

    async def one(due: float):
        nonlocal failed
        pair = await free.get()
        try:
            if await ask(*pair, path) != 200:
                failed += 1
            times.append(time.monotonic() - due)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            failed += 1
        free.put_nowait(pair)
    began, tasks = time.monotonic(), set()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (ahead := due - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for _, writer in pairs:
        writer.close()
    times.sort()
    return {"requests": len(times), "failed": failed, "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}


async def main() -> None:
    port, idle, active, rate, seconds, path = (*map(int, sys.argv[1:4]), *map(float, sys.argv[4:6]), sys.argv[6])
    standing = await stand(port, idle, path)
    print(f"idle {len(standing)}", flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    print(json.dumps(await load(port, active, rate, seconds, path)), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    closed = sum(1 for reader, _ in standing if reader.at_eof())
    print(json.dumps({"closed_by_server": closed}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
