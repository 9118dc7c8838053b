"""Engine and sessions: plain SQLAlchemy, because half the callers are not requests."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

Sessions = sessionmaker[Session]


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine on PostgreSQL through psycopg2, whatever driver the URL names or leaves out."""
    address = make_url(url.replace("postgres://", "postgresql://", 1))
    if address.get_backend_name() != "postgresql":
        raise ValueError(f"DunaHub needs PostgreSQL; this is {address.get_backend_name()}.")
    return create_engine(
        address.set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=True,  # heals by itself after a database restart
        hide_parameters=True,  # an error's text tells the statement, and no customer's values
        connect_args={
            "application_name": "dunahub",
            "options": "-c timezone=UTC",
            "connect_timeout": 5,  # seconds; a database that is away must not hold a thread
        },
    )


def make_sessions(engine: Engine) -> Sessions:
    return sessionmaker(engine, expire_on_commit=False)
