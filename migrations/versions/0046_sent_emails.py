"""Leads by the e-mail addresses that were sent: a new one may be the same customer.

While the index is made, nothing is settled; what people save does not wait for it.
"""

from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE INDEX ix_outbox_links_of_emails ON outbox_links USING gin (
            string_to_array(
                (lane_id::text || ' ') || regexp_replace(
                    lower(sent_values ->> 'email'), '[,;\s]+', (',' || lane_id::text) || ' ', 'g'),
                ','))
        WHERE aggregate_type = 'lead' AND sent_values ->> 'email' <> ''
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_outbox_links_of_emails")
