"""procrastinate as a contestant.

Its psycopg connector with a pool that has a connection for every job at once, ten jobs at once,
LISTEN/NOTIFY on, finished jobs deleted, on uvloop.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from procrastinate import App, PsycopgConnector

from benchmarks.peers import WORKERS, plain
from benchmarks.peers.calls import caller
from benchmarks.workers import end_with_the_benchmark, ready_and_told
from models.base import Json

LEFT = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


def _new_app(url: str) -> App:
    connections = WORKERS + 2  # one listens, one is for what it does beside the jobs
    return App(
        connector=PsycopgConnector(conninfo=plain(url), min_size=connections, max_size=connections)
    )


def install(url: str) -> None:
    """Makes its tables."""

    async def run() -> None:
        async with _new_app(url).open_async() as app:
            await app.schema_manager.apply_schema_async()

    asyncio.run(run())


def fill(url: str, task: str, jobs: Sequence[Json]) -> None:
    """Defers these jobs, by its call for many at once."""

    async def run() -> None:
        async with _new_app(url).open_async() as app:
            await app.configure_task(task).batch_defer_async(*jobs)

    asyncio.run(run())


@asynccontextmanager
async def deferring(url: str) -> AsyncIterator[Callable[[Json], Awaitable[object]]]:
    """Defers one call at a time, as a request that saves something would."""
    async with _new_app(url).open_async() as app:
        yield lambda job: app.configure_task("call").defer_async(**job)


async def work(url: str) -> None:
    app = _new_app(url)
    calls = await caller(url)

    @app.task(name="nothing")
    async def nothing(**_payload: object) -> None:
        pass

    if calls:

        @app.task(name="call")
        async def call(realm: str, path: str, document: Json) -> None:
            await calls.post(realm, path, document)

        @app.task(name="batches")
        async def batches(realm: str) -> None:
            await calls.post_batches(realm)

    async with app.open_async():
        ready_and_told()
        end_with_the_benchmark()
        await app.run_worker_async(
            concurrency=WORKERS,
            listen_notify=True,
            delete_jobs="successful",
            install_signal_handlers=False,
        )
