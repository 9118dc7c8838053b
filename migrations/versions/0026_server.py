"""The server that last wrote, to detect a failover or a restore."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "database_server",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("server", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_entry_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_dispatch_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("id = 1", name="one_row"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(
        """
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
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION current_server()")
    op.drop_table("database_server")
