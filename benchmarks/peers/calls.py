"""What a job of a peer does for QuickBooks: the call itself, and nothing beside it.

The document is made beforehand, the access token at hand, and what comes back is only looked at:
no link is kept, no request stored. That is less than any real job would do.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import asyncpg

from benchmarks.peers import WORKERS, plain
from models.base import Json

BATCH = 30
TABLE = """
    CREATE TABLE documents (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        realm text NOT NULL,
        entity text NOT NULL,
        document jsonb NOT NULL,
        sent_at timestamptz
    );
    CREATE INDEX ON documents (realm, id) WHERE sent_at IS NULL;
"""
LEFT = "SELECT count(*) FROM documents WHERE sent_at IS NULL"
NEXT = """
    SELECT id, entity, document FROM documents
    WHERE realm = $1 AND sent_at IS NULL ORDER BY id LIMIT $2
"""
MARK = "UPDATE documents SET sent_at = clock_timestamp() WHERE id = ANY($1)"


def fill(url: str, entity: str, jobs: Sequence[Json]) -> None:
    """The documents of these jobs, for those that take thirty at a time."""

    async def run() -> None:
        connection = await asyncpg.connect(plain(url))
        await connection.execute(TABLE)
        await connection.executemany(
            "INSERT INTO documents (realm, entity, document) VALUES ($1, $2, $3)",
            [(job["realm"], entity, json.dumps(job["document"])) for job in jobs],
        )
        await connection.close()

    asyncio.run(run())


class Caller:
    """Ten connections to QuickBooks, kept open."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._base = os.environ["SIMULATOR_URL"]
        self._tokens: dict[str, str] = json.loads(Path(os.environ["TOKENS"]).read_text())
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS))

    async def post(self, realm: str, path: str, document: Json) -> str:
        """One call; raises when it was not answered with success."""
        address = f"{self._base}/v3/company/{realm}/{path}"
        query = {"minorversion": "75", "requestid": uuid.uuid4().hex}
        headers = {"Authorization": f"Bearer {self._tokens[realm]}", "Accept": "application/json"}
        async with self._session.post(
            address, params=query, headers=headers, json=document
        ) as answer:
            told = await answer.text()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {told}")
            return told

    async def post_batches(self, realm: str) -> None:
        """All that waits for one company, thirty a call: the job one would write by hand."""
        while rows := await self._pool.fetch(NEXT, realm, BATCH):
            items: list[Json] = [
                {
                    "bId": str(row["id"]),
                    "operation": "create",
                    row["entity"]: json.loads(row["document"]),
                }
                for row in rows
            ]
            await self.post(realm, "batch", {"BatchItemRequest": items})
            await self._pool.execute(MARK, [row["id"] for row in rows])


async def caller(url: str) -> Caller | None:
    """None in a benchmark that calls nobody."""
    if "SIMULATOR_URL" not in os.environ:
        return None
    return Caller(await asyncpg.create_pool(plain(url), min_size=WORKERS, max_size=WORKERS))
