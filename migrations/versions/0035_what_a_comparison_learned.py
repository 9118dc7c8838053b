"""What a comparison found of a record is kept with its counterpart.

The previous release writes counterparts without these columns: they are empty until a comparison
says otherwise.
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("gone_at", "differs_since"):
        op.add_column("outbox_links", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("gone_at", "differs_since"):
        op.drop_column("outbox_links", name)
