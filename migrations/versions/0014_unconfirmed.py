"""Companies chosen at Intuit that no owner has confirmed yet."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE quickbooks_unconfirmed (
            organization_id bigint NOT NULL,
            user_id bigint NOT NULL,
            state_digest character varying NOT NULL,
            environment character varying NOT NULL,
            realm_id character varying NOT NULL,
            allowed_realm_id character varying,
            access_token character varying NOT NULL,
            refresh_token character varying NOT NULL,
            access_expires_at timestamptz NOT NULL,
            refresh_expires_at timestamptz NOT NULL,
            hard_expires_at timestamptz,
            facts jsonb NOT NULL,
            settings jsonb NOT NULL,
            customers jsonb,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT pk_quickbooks_unconfirmed PRIMARY KEY (organization_id),
            CONSTRAINT fk_quickbooks_unconfirmed_organization_id
                FOREIGN KEY (organization_id) REFERENCES organizations (id),
            CONSTRAINT fk_quickbooks_unconfirmed_user_id
                FOREIGN KEY (user_id) REFERENCES users (id)
        )
        """
    )
    op.execute("ALTER TABLE quickbooks_revocations ADD COLUMN realm_id character varying")


def downgrade() -> None:
    op.execute("ALTER TABLE quickbooks_revocations DROP COLUMN realm_id")
    op.execute("DROP TABLE quickbooks_unconfirmed")
