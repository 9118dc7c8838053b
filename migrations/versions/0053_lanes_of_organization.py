"""An index of lanes by organization: every save locks those of its own, also closed ones."""

from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_outbox_lanes_of_organization ON outbox_lanes (organization_id)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_outbox_lanes_of_organization")
