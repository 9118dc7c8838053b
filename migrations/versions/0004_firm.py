"""The firm's side: payments told by the processor, contacts of leads, a tax rate."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PAYMENTS = """
ALTER TABLE payments
    ADD COLUMN event_id varchar,
    ADD CONSTRAINT uq_payments_event_id UNIQUE (event_id);
"""

LEADS = """
ALTER TABLE leads
    ADD COLUMN given_name varchar NOT NULL DEFAULT '',
    ADD COLUMN family_name varchar NOT NULL DEFAULT '';
"""

# What was proposed for the next invoice until now: the rate of the newest.
ORGANIZATIONS = """
ALTER TABLE organizations
    ADD COLUMN tax_rate numeric(7, 4) NOT NULL DEFAULT '0',
    ADD CONSTRAINT ck_organizations_tax_rate CHECK (tax_rate BETWEEN 0 AND 100);
UPDATE organizations SET tax_rate = newest.tax_rate
FROM (
    SELECT DISTINCT ON (organization_id) organization_id, tax_rate
    FROM invoices ORDER BY organization_id, id DESC
) AS newest
WHERE organizations.id = newest.organization_id AND newest.tax_rate BETWEEN 0 AND 100;
"""


def upgrade() -> None:
    op.execute(PAYMENTS)
    op.execute(LEADS)
    op.execute(ORGANIZATIONS)


def downgrade() -> None:
    op.execute("ALTER TABLE organizations DROP COLUMN tax_rate")
    op.execute("ALTER TABLE leads DROP COLUMN given_name, DROP COLUMN family_name")
    op.execute("ALTER TABLE payments DROP COLUMN event_id")
