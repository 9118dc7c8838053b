"""The first steps on the home page can be hidden."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE organizations ADD COLUMN steps_hidden_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE organizations DROP COLUMN steps_hidden_at")
