"""The customers of each company, as read from QuickBooks: first sends are matched against them."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DIRECTORY = """
ALTER TABLE quickbooks_connections ADD COLUMN customers_read_at timestamptz;

CREATE TABLE quickbooks_customers (
    connection_id bigint NOT NULL
        CONSTRAINT fk_quickbooks_customers_connection_id REFERENCES quickbooks_connections,
    remote_id varchar NOT NULL,
    organization_id bigint NOT NULL
        CONSTRAINT fk_quickbooks_customers_organization_id REFERENCES organizations,
    version varchar NOT NULL,
    name varchar NOT NULL,
    name_key varchar NOT NULL,
    email varchar NOT NULL DEFAULT '',
    phone varchar NOT NULL DEFAULT '',
    active boolean NOT NULL DEFAULT 'true',
    CONSTRAINT pk_quickbooks_customers PRIMARY KEY (connection_id, remote_id)
);
CREATE INDEX ix_quickbooks_customers_name ON quickbooks_customers (connection_id, name_key);
CREATE INDEX ix_quickbooks_customers_email ON quickbooks_customers (connection_id, email)
    WHERE email <> '';
"""


def upgrade() -> None:
    op.execute(DIRECTORY)


def downgrade() -> None:
    op.execute("DROP TABLE quickbooks_customers")
    op.execute("ALTER TABLE quickbooks_connections DROP COLUMN customers_read_at")
