"""The loop one writes first, as a contestant.

Lock the next row, do it, mark it, commit, from as many threads as our drainers are.
"""

import json
import threading
import time
from collections.abc import Sequence

import psycopg2

from benchmarks.peers import plain
from benchmarks.workers import end_with_the_benchmark, ready_and_told
from models.base import Json

THREADS = 4
LEFT = "SELECT count(*) FROM naive_jobs WHERE done_at IS NULL"

TABLE = """
    CREATE TABLE naive_jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payload jsonb NOT NULL,
        done_at timestamptz
    );
    CREATE INDEX ON naive_jobs (id) WHERE done_at IS NULL;
"""
NEXT = """
    SELECT id, payload FROM naive_jobs WHERE done_at IS NULL
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
MARK = "UPDATE naive_jobs SET done_at = clock_timestamp() WHERE id = %s"


def install(url: str) -> None:
    with psycopg2.connect(plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
    connection.close()


def fill(url: str, jobs: Sequence[Json]) -> None:
    with psycopg2.connect(plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO naive_jobs (payload) SELECT jsonb_array_elements(%s)", [json.dumps(jobs)]
        )
    connection.close()


def work(url: str) -> None:
    ready_and_told()
    end_with_the_benchmark()
    for _ in range(THREADS - 1):
        threading.Thread(target=_loop, args=[url], daemon=True).start()
    _loop(url)


def _loop(url: str) -> None:
    connection = psycopg2.connect(plain(url))
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(NEXT)
            row = cursor.fetchone()
            if row:
                cursor.execute(MARK, [row[0]])
        if not row:
            time.sleep(0.1)
