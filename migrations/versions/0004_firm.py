"""The firm's side: payments told by the processor."""

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


def upgrade() -> None:
    op.execute(PAYMENTS)


def downgrade() -> None:
    op.execute("ALTER TABLE payments DROP COLUMN event_id")
