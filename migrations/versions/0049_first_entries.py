"""Notes the first entry of what went along with another record, or was recorded while disconnected.

It counted as never sent. Saves go on meanwhile: only the rows that change are locked.
"""

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

TABLES = {
    "lead": "leads",
    "product": "products",
    "invoice": "invoices",
    "payment": "payments",
    "refund": "goodwill_refunds",
}


def upgrade() -> None:
    op.execute("SET LOCAL dunahub.captured = 'on'")
    for type_, table in TABLES.items():
        op.execute(
            f"""
            UPDATE {table} AS record
            SET first_entry_at = (
                SELECT min(entry.created_at) FROM outbox AS entry
                WHERE entry.aggregate_type = '{type_}' AND entry.aggregate_id = record.id)
            FROM (
                SELECT unsent.id FROM {table} AS unsent
                WHERE unsent.first_entry_at IS NULL
                  AND EXISTS (
                    SELECT FROM outbox AS entry
                    WHERE entry.aggregate_type = '{type_}' AND entry.aggregate_id = unsent.id)
                ORDER BY unsent.id
                FOR NO KEY UPDATE
            ) AS known
            WHERE record.id = known.id
            """  # noqa: S608  (only constants of ours are put together)
        )


def downgrade() -> None:
    pass  # they have entries all the same
