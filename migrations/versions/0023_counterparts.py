"""What QuickBooks has of a record is stored on its counterpart: what was sent, seen and decided.

The values of the last synced entry are copied; how they were rendered then is not known any more,
so every counterpart of before is read once before it is written.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
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
        " ADD COLUMN declined_values jsonb,"
        " ADD COLUMN seen text,"
        " ADD COLUMN doubts jsonb NOT NULL DEFAULT '[]',"
        " ADD COLUMN decision jsonb NOT NULL DEFAULT '{}'"
    )
    # Two leads may share one customer. Whether they do is asked, not forbidden by an index.
    op.execute("DROP INDEX uq_outbox_links_remote")
    op.execute(
        "CREATE INDEX ix_outbox_links_remote ON outbox_links (lane_id, aggregate_type, remote_id)"
    )
    op.execute("ALTER TABLE outbox_dispatch_items ADD COLUMN document text")
    op.execute("ALTER TABLE outbox ADD COLUMN withheld boolean NOT NULL DEFAULT 'false'")
    op.execute("ALTER TABLE outbox_lanes ADD COLUMN compares boolean NOT NULL DEFAULT 'false'")
    op.execute(
        """
        UPDATE outbox_links AS link
        SET sent_operation = sent.operation, sent_values = sent.payload,
            stale = link.stale OR link.aggregate_type <> 'product'
        FROM (
            SELECT DISTINCT ON (entry.lane_id, entry.aggregate_type, entry.aggregate_id)
                   entry.lane_id, entry.aggregate_type, entry.aggregate_id,
                   entry.operation, entry.payload
            FROM outbox AS entry
            WHERE entry.state = 'synced'
            ORDER BY entry.lane_id, entry.aggregate_type, entry.aggregate_id, entry.id DESC
        ) AS sent
        WHERE sent.lane_id = link.lane_id AND sent.aggregate_type = link.aggregate_type
          AND sent.aggregate_id = link.aggregate_id
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE outbox_lanes DROP COLUMN compares")
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
        " DROP COLUMN sent_document, DROP COLUMN sent_values, DROP COLUMN sent_operation,"
        " DROP COLUMN remote_balance,"
        " ALTER COLUMN remote_id SET NOT NULL, ALTER COLUMN remote_version SET NOT NULL"
    )
