"""The first outcome of an entry, the bookkeeper role, and when a company was last checked."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEEP_FIRST_OUTCOME = """
CREATE FUNCTION keep_first_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first_outcome := NEW.state;
    NEW.first_settled_at := NEW.settled_at;
    NEW.was_retried := NEW.attempts > 0 OR EXISTS (
        SELECT FROM outbox_dispatch_items AS item
        JOIN outbox_dispatches AS dispatch ON dispatch.id = item.dispatch_id
        WHERE item.entry_id = NEW.id
          AND (dispatch.sends > 1 OR dispatch.sent_at < clock_timestamp() - interval '75 seconds'));
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_first_outcome BEFORE UPDATE OF state ON outbox FOR EACH ROW
    WHEN (OLD.first_outcome IS NULL AND OLD.state = 'pending'
          AND NEW.state IN ('synced', 'failed'))
    EXECUTE FUNCTION keep_first_outcome();
"""


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox"
        " ADD COLUMN first_outcome varchar,"
        " ADD COLUMN first_settled_at timestamptz,"
        " ADD COLUMN was_retried boolean NOT NULL DEFAULT 'false'"
    )
    op.execute(
        "CREATE INDEX ix_outbox_failed_first ON outbox (organization_id, first_settled_at)"
        " WHERE first_outcome = 'failed'"
    )
    op.execute(_KEEP_FIRST_OUTCOME)
    op.execute("ALTER TABLE quickbooks_connections ADD COLUMN checked_at timestamptz")
    _allow_roles("users", "'owner', 'bookkeeper', 'member', 'admin'")
    _allow_roles("invitations", "'owner', 'bookkeeper', 'member'")


def downgrade() -> None:
    op.execute("UPDATE users SET role = 'member' WHERE role = 'bookkeeper'")
    op.execute("UPDATE invitations SET role = 'member' WHERE role = 'bookkeeper'")
    _allow_roles("invitations", "'owner', 'member'")
    _allow_roles("users", "'owner', 'member', 'admin'")
    op.execute("ALTER TABLE quickbooks_connections DROP COLUMN checked_at")
    op.execute("DROP TRIGGER keep_first_outcome ON outbox")
    op.execute("DROP FUNCTION keep_first_outcome()")
    op.execute("DROP INDEX ix_outbox_failed_first")
    op.execute(
        "ALTER TABLE outbox DROP COLUMN first_outcome, DROP COLUMN first_settled_at,"
        " DROP COLUMN was_retried"
    )


def _allow_roles(table: str, roles: str) -> None:
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_role")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_role CHECK (role IN ({roles}))")
