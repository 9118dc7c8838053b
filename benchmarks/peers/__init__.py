"""Other queues on PostgreSQL, doing the same job, each as its own documentation sets it up."""

from sqlalchemy.engine import make_url

WORKERS = 10  # jobs at once


def plain(url: str) -> str:
    """A database's address as psycopg and asyncpg write it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
