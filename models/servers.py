"""Which PostgreSQL server last wrote, to detect a failover or a restore."""

from sqlalchemy import CheckConstraint, Connection, event, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Moment


class DatabaseServer(Base):
    """One row. Uses numbers, not times: the clocks of two servers differ."""

    __tablename__ = "database_server"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # System identifier and timeline, as "7713194922285894125/00000001". NULL if the server hides
    # them.
    server: Mapped[str | None]
    changed_at: Mapped[Moment | None]  # when the server last changed; NULL: never
    # The newest ids at that time. Newer rows were written by this server.
    last_entry_id: Mapped[int] = mapped_column(server_default="0")
    last_dispatch_id: Mapped[int] = mapped_column(server_default="0")


# The timeline changes when a standby is promoted or a backup is recovered to a point in time; the
# identifier differs between clusters. Reading them needs no privilege. NULL on hosts that hide
# them.
CURRENT_SERVER = """
CREATE FUNCTION current_server() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system())
           || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;
INSERT INTO database_server (id, server) VALUES (1, current_server());
"""


@event.listens_for(DatabaseServer.__table__, "after_create")
def _remember_this_one(_table: object, connection: Connection, **_: object) -> None:
    connection.execute(text(CURRENT_SERVER))
