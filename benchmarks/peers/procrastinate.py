"""procrastinate as a contestant.

Its psycopg connector with a pool that has a connection for every job at once, ten jobs at once,
LISTEN/NOTIFY on, finished jobs deleted (which it does faster than keeping them), on uvloop.
"""

import asyncio
from collections.abc import Sequence

from procrastinate import App, PsycopgConnector

from benchmarks.peers import WORKERS, plain
from benchmarks.workers import end_with_the_benchmark, ready_and_told
from models.base import Json

LEFT = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


def new_app(url: str) -> App:
    app = App(
        connector=PsycopgConnector(conninfo=plain(url), min_size=WORKERS + 2, max_size=WORKERS + 2)
    )

    @app.task(name="nothing")
    async def nothing(**_payload: object) -> None:
        pass

    return app


def install(url: str) -> None:
    """Makes its tables."""

    async def run() -> None:
        async with new_app(url).open_async() as app:
            await app.schema_manager.apply_schema_async()

    asyncio.run(run())


def fill(url: str, task: str, jobs: Sequence[Json]) -> None:
    """Defers these jobs, by its call for many at once."""

    async def run() -> None:
        async with new_app(url).open_async() as app:
            await app.configure_task(task).batch_defer_async(*jobs)

    asyncio.run(run())


async def work(url: str) -> None:
    async with new_app(url).open_async() as app:
        ready_and_told()
        end_with_the_benchmark()
        await app.run_worker_async(
            concurrency=WORKERS,
            listen_notify=True,
            delete_jobs="successful",
            install_signal_handlers=False,
        )
