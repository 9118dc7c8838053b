"""A record looked up after a lost answer counts as retried."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_FUNCTION = """
CREATE OR REPLACE FUNCTION keep_first_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first_outcome := NEW.state;
    NEW.first_settled_at := NEW.settled_at;
    NEW.was_retried := NEW.attempts > 0 OR EXISTS (
        SELECT FROM outbox_dispatch_items AS item
        JOIN outbox_dispatches AS dispatch ON dispatch.id = item.dispatch_id
%s
    RETURN NEW;
END
$$;
"""
_NOW = """\
        WHERE item.entry_id = NEW.id AND item.outcome IS DISTINCT FROM 'learned'
          AND dispatch.method <> 'GET'
          AND (dispatch.sends > 1 OR dispatch.answered_at < now()
               OR dispatch.sent_at < clock_timestamp() - interval '75 seconds'));"""
_BEFORE = """\
        WHERE item.entry_id = NEW.id
          AND (dispatch.sends > 1 OR dispatch.sent_at < clock_timestamp() - interval '75 seconds'));"""  # noqa: E501


def upgrade() -> None:
    op.execute(_FUNCTION % _NOW)


def downgrade() -> None:
    op.execute(_FUNCTION % _BEFORE)
