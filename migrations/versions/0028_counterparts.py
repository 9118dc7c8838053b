"""Stores what QuickBooks has of a record on its counterpart: what was sent, seen and decided."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox_links"
        " ALTER COLUMN remote_id DROP NOT NULL,"
        " ALTER COLUMN remote_version DROP NOT NULL,"
        " ADD COLUMN remote_balance varchar,"
        " ADD COLUMN sent_operation varchar,"
        " ADD COLUMN sent_values jsonb,"
        " ADD COLUMN sent_document text,"
        " ADD COLUMN declined_operation varchar,"
        " ADD COLUMN declined_values jsonb,"
        " ADD COLUMN seen text,"
        " ADD COLUMN doubts jsonb NOT NULL DEFAULT '[]',"
        " ADD COLUMN decision jsonb NOT NULL DEFAULT '{}'"
    )
    # Two leads may share a customer; the app asks about it.
    op.execute("DROP INDEX uq_outbox_links_remote")
    op.execute(
        "CREATE INDEX ix_outbox_links_remote ON outbox_links (lane_id, aggregate_type, remote_id)"
    )
    op.execute("ALTER TABLE outbox_dispatch_items ADD COLUMN document text")
    op.execute("ALTER TABLE outbox ADD COLUMN withheld boolean NOT NULL DEFAULT 'false'")
    op.execute("ALTER TABLE outbox_lanes ADD COLUMN closed_at timestamptz")
    op.execute(
        "UPDATE outbox_lanes AS lane SET closed_at = connection.status_since"
        " FROM quickbooks_connections AS connection"
        " WHERE connection.lane_id = lane.id AND lane.state = 'closed'"
    )
    # Entries behind the line of an open lane are withheld; the due index excludes them.
    op.execute(
        "UPDATE outbox SET withheld = true FROM outbox_lanes AS lane"
        " WHERE lane.id = outbox.lane_id AND lane.state <> 'closed'"
        " AND outbox.state = 'pending' AND outbox.id <= lane.line"
    )
    op.execute("UPDATE outbox_lanes SET line = NULL WHERE state <> 'closed'")
    op.execute("DROP INDEX ix_outbox_due")
    op.execute(
        "CREATE INDEX ix_outbox_due ON outbox (lane_id, available_at)"
        " WHERE state = 'pending' AND waits_for_type IS NULL AND NOT withheld"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_outbox_due")
    op.execute(
        "CREATE INDEX ix_outbox_due ON outbox (lane_id, available_at)"
        " WHERE state = 'pending' AND waits_for_type IS NULL"
    )
    op.execute("ALTER TABLE outbox_lanes DROP COLUMN closed_at")
    op.execute("ALTER TABLE outbox DROP COLUMN withheld")
    op.execute("ALTER TABLE outbox_dispatch_items DROP COLUMN document")
    op.execute("DROP INDEX ix_outbox_links_remote")
    op.execute("DELETE FROM outbox_links WHERE remote_id IS NULL")
    op.execute(
        "CREATE UNIQUE INDEX uq_outbox_links_remote"
        " ON outbox_links (lane_id, aggregate_type, remote_id) WHERE aggregate_type <> 'product'"
    )
    op.execute(
        "ALTER TABLE outbox_links"
        " DROP COLUMN decision, DROP COLUMN doubts, DROP COLUMN seen, DROP COLUMN declined_values,"
        " DROP COLUMN declined_operation,"
        " DROP COLUMN sent_document, DROP COLUMN sent_values, DROP COLUMN sent_operation,"
        " DROP COLUMN remote_balance,"
        " ALTER COLUMN remote_id SET NOT NULL, ALTER COLUMN remote_version SET NOT NULL"
    )
