"""Studies, sites and what is measured: published batteries and item banks never change.

Online: triggers only, on small tables.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_published() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            RAISE EXCEPTION '% % version % never changes', TG_TABLE_NAME, OLD.id, OLD.version;
        END $$
        """
    )
    # A battery that is known by id only has not been published from here: what it consists of may become
    # known.
    op.execute(
        """
        CREATE TRIGGER batteries_never_change BEFORE UPDATE OR DELETE ON batteries
        FOR EACH ROW WHEN (OLD.definition IS NOT NULL) EXECUTE FUNCTION refuse_change_of_published()
        """
    )
    op.execute(
        """
        CREATE TRIGGER item_banks_never_change BEFORE UPDATE OR DELETE ON item_banks
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER item_banks_never_change ON item_banks")
    op.execute("DROP TRIGGER batteries_never_change ON batteries")
    op.execute("DROP FUNCTION refuse_change_of_published()")
