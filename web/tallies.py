"""Counts for rate limits, in PostgreSQL, so that all processes share them.

Flask-Limiter's own shared stores would need another server. The table is unlogged: a database crash
loses only counts.
"""

import time

import structlog
from limits.storage import Storage
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from models.accounts import Tally
from web.access import dunahub

COUNTS_BETWEEN_SWEEPS = 1_000  # counts between two deletions of expired rows

log = structlog.get_logger()

_COUNT = text(
    """
    INSERT INTO tallies AS tally (key, count, expires_at)
    VALUES (:key, :amount, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (key) DO UPDATE
    SET count = CASE WHEN tally.expires_at > clock_timestamp() THEN tally.count ELSE 0 END
                + excluded.count,
        expires_at = CASE WHEN tally.expires_at > clock_timestamp() THEN tally.expires_at
                          ELSE excluded.expires_at END
    RETURNING count
    """
)


def count(key: str, seconds: int, amount: int = 1) -> int:
    """Counts one try and returns the number of tries in the current period of `seconds`.

    Uses its own transaction, so that a try counts even if the request is then refused.
    """
    with dunahub().sessions.begin() as session:
        counted = session.execute(_COUNT, {"key": key, "amount": amount, "seconds": seconds})
        total = int(counted.scalar_one())
        if hash((key, total)) % COUNTS_BETWEEN_SWEEPS == 0:
            session.execute(delete(Tally).where(Tally.expires_at < func.clock_timestamp()))
    return total


class TallyStorage(Storage):
    """Flask-Limiter's storage interface."""

    STORAGE_SCHEME = ["tallies"]  # noqa: RUF012  (the library's own idiom)

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return count(key, expiry, amount)

    def get(self, key: str) -> int:
        with dunahub().sessions() as session:
            found = session.scalar(
                select(Tally.count).where(
                    Tally.key == key, Tally.expires_at > func.clock_timestamp()
                )
            )
        return found or 0

    def get_expiry(self, key: str) -> float:
        with dunahub().sessions() as session:
            found = session.scalar(select(Tally.expires_at).where(Tally.key == key))
        return found.timestamp() if found else time.time()

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with dunahub().sessions.begin() as session:
            session.execute(delete(Tally))
        return None

    def clear(self, key: str) -> None:
        with dunahub().sessions.begin() as session:
            session.execute(delete(Tally).where(Tally.key == key))
