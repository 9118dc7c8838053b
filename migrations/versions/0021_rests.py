"""Separate pauses for reads, the entry suspected of an unanswered
call, and holds that need confirmation."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox_lanes"
        " ADD COLUMN silent_entry_id bigint,"
        " ADD COLUMN hold_suspected varchar,"
        " ADD COLUMN sign_in bigint NOT NULL DEFAULT '0',"
        " ADD COLUMN questions_rest_until timestamptz,"
        " ADD COLUMN questions_rest_reason varchar,"
        " ADD COLUMN questions_rest_since timestamptz,"
        " ADD COLUMN questions_unanswered bigint NOT NULL DEFAULT '0',"
        " ADD COLUMN silent_question_entry_id bigint"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE outbox_lanes"
        " DROP COLUMN silent_entry_id, DROP COLUMN hold_suspected, DROP COLUMN sign_in,"
        " DROP COLUMN questions_rest_until, DROP COLUMN questions_rest_reason,"
        " DROP COLUMN questions_rest_since, DROP COLUMN questions_unanswered,"
        " DROP COLUMN silent_question_entry_id"
    )
