"""Forms submitted without a session, kept until the person has signed in again."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

DRAFTS = """
CREATE TABLE drafts (
    digest varchar NOT NULL,
    address varchar NOT NULL,
    fields varchar NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_drafts PRIMARY KEY (digest)
);
CREATE INDEX ix_drafts_created_at ON drafts (created_at);
"""


def upgrade() -> None:
    op.execute(DRAFTS)


def downgrade() -> None:
    op.execute("DROP TABLE drafts")
