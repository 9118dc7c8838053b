"""PgQueuer as a contestant.

Its asyncpg driver on a pool, LISTEN/NOTIFY on, on uvloop as its own command does. `batch` is how
many jobs it claims at once. Ten calls go at once: more jobs are claimed ahead, so that none of the
ten waits for the database.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.models import Job

from benchmarks.peers import WORKERS, plain
from benchmarks.peers.calls import caller
from benchmarks.workers import end_with_the_benchmark, ready_and_told
from models.base import Json

LEFT = "SELECT count(*) FROM pgqueuer"


def install(url: str) -> None:
    """Makes its tables."""

    async def run() -> None:
        connection = await asyncpg.connect(plain(url))
        await Queries.from_asyncpg_connection(connection).install()
        await connection.close()

    asyncio.run(run())


def fill(url: str, entrypoint: str, jobs: Sequence[Json]) -> None:
    """Enqueues these jobs, by its call for many at once."""

    async def run() -> None:
        connection = await asyncpg.connect(plain(url))
        payloads: list[bytes | None] = [json.dumps(job).encode() for job in jobs]
        await Queries.from_asyncpg_connection(connection).enqueue(
            [entrypoint] * len(jobs), payloads, [0] * len(jobs)
        )
        await connection.close()

    asyncio.run(run())


@asynccontextmanager
async def deferring(url: str) -> AsyncIterator[Callable[[Json], Awaitable[object]]]:
    """Enqueues one call at a time, as a request that saves something would."""
    connection = await asyncpg.connect(plain(url))
    queries = Queries.from_asyncpg_connection(connection)
    yield lambda job: queries.enqueue("call", json.dumps(job).encode())
    await connection.close()


async def work(url: str, batch: int) -> None:
    connections = WORKERS + 2
    pool = asyncpg.create_pool(plain(url), min_size=connections, max_size=connections)
    async with pool:
        queue = PgQueuer.from_asyncpg_pool(pool)
        calls = await caller(url)
        at_once = asyncio.Semaphore(WORKERS)

        @queue.entrypoint("nothing")
        async def nothing(_job: Job) -> None:
            pass

        if calls:

            @queue.entrypoint("call")
            async def call(job: Job) -> None:
                async with at_once:
                    await calls.post(**json.loads(job.payload or b""))

            @queue.entrypoint("batches")
            async def batches(job: Job) -> None:
                async with at_once:
                    await calls.post_batches(**json.loads(job.payload or b""))

        ready_and_told()
        end_with_the_benchmark()
        await queue.run(batch_size=batch, max_concurrent_tasks=2 * batch if calls else None)
