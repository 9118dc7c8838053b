"""Ended sessions, so that a copied cookie ends with them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ENDED_SESSIONS = """
CREATE TABLE ended_sessions (
    digest varchar NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_ended_sessions PRIMARY KEY (digest)
);
"""


def upgrade() -> None:
    op.execute(ENDED_SESSIONS)


def downgrade() -> None:
    op.execute("DROP TABLE ended_sessions")
