"""The firm's side: payments told by the processor, contacts of leads."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PAYMENTS = """
ALTER TABLE payments
    ADD COLUMN event_id varchar,
    ADD CONSTRAINT uq_payments_event_id UNIQUE (event_id);
"""

LEADS = """
ALTER TABLE leads
    ADD COLUMN given_name varchar NOT NULL DEFAULT '',
    ADD COLUMN family_name varchar NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    op.execute(PAYMENTS)
    op.execute(LEADS)


def downgrade() -> None:
    op.execute("ALTER TABLE leads DROP COLUMN given_name, DROP COLUMN family_name")
    op.execute("ALTER TABLE payments DROP COLUMN event_id")
