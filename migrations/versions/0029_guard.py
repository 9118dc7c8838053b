"""The database refuses writes to a record for which no entry is captured.

A later migration that writes one of these tables must first run SET LOCAL dunahub.captured = 'on'.
"""

from alembic import op

revision = "0029"
down_revision = "0028b"
branch_labels = None
depends_on = None

TABLES = ("leads", "products", "invoices", "invoice_lines", "payments")

_FUNCTION = """\
CREATE FUNCTION refuse_uncaptured() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('dunahub.captured', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'This write of % would never reach QuickBooks.', TG_TABLE_NAME
            USING ERRCODE = 'DH001', HINT = 'Change records through the application. For a restore'
                ' or a migration: SET LOCAL dunahub.captured = ''on''.';
    END IF;
    RETURN NULL;
END
$$;
"""


def upgrade() -> None:
    op.execute(_FUNCTION)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER refuse_uncaptured BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
            f" ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_uncaptured()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TRIGGER refuse_uncaptured ON {table}")
    op.execute("DROP FUNCTION refuse_uncaptured()")
