"""Indexes for lists that scanned whole tables: never sent, by state, by fault."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX ix_leads_never_sent ON leads (organization_id, id)
            WHERE first_entry_at IS NULL AND deleted_at IS NULL;
        CREATE INDEX ix_invoices_never_sent ON invoices (organization_id, id)
            WHERE first_entry_at IS NULL AND voided_at IS NULL;
        CREATE INDEX ix_payments_never_sent ON payments (organization_id, id)
            WHERE first_entry_at IS NULL;
        CREATE INDEX ix_outbox_unsynced ON outbox (state, id) WHERE state <> 'synced';
        CREATE INDEX ix_outbox_of_fault ON outbox (fault_code, id) WHERE fault_code IS NOT NULL;
        DROP INDEX ix_outbox_failed
        """
    )


def downgrade() -> None:
    op.execute(
        """
        CREATE INDEX ix_outbox_failed ON outbox (id) WHERE state = 'failed';
        DROP INDEX ix_leads_never_sent, ix_invoices_never_sent, ix_payments_never_sent,
            ix_outbox_unsynced, ix_outbox_of_fault
        """
    )
