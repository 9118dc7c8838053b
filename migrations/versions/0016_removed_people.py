"""People can be removed; their address may be invited again."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN removed_at timestamptz")
    op.execute(
        "CREATE UNIQUE INDEX uq_users_present_email ON users (lower(email))"
        " WHERE removed_at IS NULL"
    )
    op.execute("DROP INDEX uq_users_email")
    op.execute("ALTER INDEX uq_users_present_email RENAME TO uq_users_email")


def downgrade() -> None:
    op.execute(
        "UPDATE users SET email = 'removed-' || id || ' ' || email WHERE removed_at IS NOT NULL"
    )
    op.execute("DROP INDEX uq_users_email")
    op.execute("CREATE UNIQUE INDEX uq_users_email ON users (lower(email))")
    op.execute("ALTER TABLE users DROP COLUMN removed_at")
