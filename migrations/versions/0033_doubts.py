"""Moves existing doubts and decisions to the record's counterpart.

Until now, a request with an unknown effect was only known by its item, and a person's choice by the
entry. Without them a record that may exist in QuickBooks would be created a second time.
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The body of a create is the whole document; in a batch, one member of its item.
    op.execute(
        """
        UPDATE outbox_dispatch_items AS item
        SET document = CASE WHEN dispatch.path <> 'batch' THEN dispatch.body ELSE (
            SELECT part.value::text FROM jsonb_each(
                (dispatch.body::jsonb -> 'BatchItemRequest' -> item.position::integer)
                - 'bId' - 'operation') AS part LIMIT 1) END
        FROM outbox_dispatches AS dispatch
        WHERE dispatch.id = item.dispatch_id AND item.intent = 'create' AND item.document IS NULL
          AND (item.outcome IS NULL OR item.outcome = 'unknown')
        """
    )
    op.execute(
        """
        INSERT INTO outbox_links AS link
            (organization_id, lane_id, aggregate_type, aggregate_id, doubts)
        SELECT entry.organization_id, entry.lane_id, entry.aggregate_type, entry.aggregate_id,
               jsonb_agg(jsonb_build_object('request', item.dispatch_id, 'intent', item.intent,
                                            'document', item.document) ORDER BY item.dispatch_id)
        FROM outbox_dispatch_items AS item JOIN outbox AS entry ON entry.id = item.entry_id
        WHERE item.intent = 'create' AND item.outcome = 'unknown' AND item.document IS NOT NULL
          AND NOT EXISTS (SELECT FROM outbox_links AS known
                          WHERE known.lane_id = entry.lane_id
                            AND known.aggregate_type = entry.aggregate_type
                            AND known.aggregate_id = entry.aggregate_id
                            AND (known.remote_id IS NOT NULL OR known.doubts <> '[]'))
        GROUP BY entry.organization_id, entry.lane_id, entry.aggregate_type, entry.aggregate_id
        ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
        SET doubts = EXCLUDED.doubts
        """
    )
    op.execute(
        """
        INSERT INTO outbox_links AS link
            (organization_id, lane_id, aggregate_type, aggregate_id, decision)
        SELECT DISTINCT ON (entry.lane_id, entry.aggregate_type, entry.aggregate_id)
               entry.organization_id, entry.lane_id, entry.aggregate_type, entry.aggregate_id,
               chosen.decision
        FROM outbox AS entry
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(part.key, part.value) AS decision
            FROM jsonb_each(entry.knowledge) AS part
            WHERE part.key IN ('use', 'anew', 'activate', 'unnumbered')
        ) AS chosen
        WHERE entry.state = 'pending' AND chosen.decision IS NOT NULL
        ORDER BY entry.lane_id, entry.aggregate_type, entry.aggregate_id, entry.id DESC
        ON CONFLICT (lane_id, aggregate_type, aggregate_id) DO UPDATE
        SET decision = EXCLUDED.decision || link.decision
        """
    )


def downgrade() -> None:
    pass  # what it filled is kept
