"""Submitted forms and what they created, so that submitting twice saves once."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SUBMITTED_FORMS = """
CREATE TABLE submitted_forms (
    organization_id bigint NOT NULL,
    key varchar NOT NULL,
    address varchar,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_submitted_forms PRIMARY KEY (organization_id, key),
    CONSTRAINT fk_submitted_forms_organization_id
        FOREIGN KEY (organization_id) REFERENCES organizations (id)
);
CREATE INDEX ix_submitted_forms_created_at ON submitted_forms (created_at);
"""


def upgrade() -> None:
    op.execute(SUBMITTED_FORMS)


def downgrade() -> None:
    op.execute("DROP TABLE submitted_forms")
