"""A customer's e-mail field in QuickBooks may hold several addresses; each is matched."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE quickbooks_customers SET email = regexp_replace(email, '[,;[:space:]]+', ',', 'g')"
        " WHERE email ~ '[,;[:space:]]'"
    )
    op.execute("DROP INDEX ix_quickbooks_customers_email")
    op.execute(
        "CREATE INDEX ix_quickbooks_customers_email ON quickbooks_customers"
        " USING gin (string_to_array(email, ',')) WHERE email <> ''"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_quickbooks_customers_email")
    op.execute(
        "CREATE INDEX ix_quickbooks_customers_email ON quickbooks_customers (connection_id, email)"
        " WHERE email <> ''"
    )
