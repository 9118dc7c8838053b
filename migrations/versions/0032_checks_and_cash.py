"""Payments by check and in cash, with a check's number."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

METHOD = "CHECK (method IN ('card', 'ach', 'check', 'cash'))"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE payments ADD COLUMN reference varchar NOT NULL DEFAULT '',"
        f" DROP CONSTRAINT ck_payments_method, ADD CONSTRAINT ck_payments_method {METHOD} NOT VALID"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE payments DROP COLUMN reference, DROP CONSTRAINT ck_payments_method,"
        " ADD CONSTRAINT ck_payments_method CHECK (method IN ('card', 'ach'))"
    )
