"""The organization whose form was kept, so that nobody of another one is shown it."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE drafts ADD COLUMN organization_id bigint,"
        " ADD CONSTRAINT fk_drafts_organization_id"
        " FOREIGN KEY (organization_id) REFERENCES organizations (id)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE drafts DROP COLUMN organization_id")
