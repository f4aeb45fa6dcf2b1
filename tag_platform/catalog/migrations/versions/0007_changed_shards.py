"""The ledger tells which shards a merge changed, so that an undo and a user's history read these alone."""

from alembic import op
from sqlalchemy import text

revision = "0007_changed_shards"
down_revision = "0006_overrides"


def upgrade() -> None:
    connection = op.get_bind()
    found = connection.execute(
        text(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'tag_merges' AND column_name = 'changed_shards'"
        )
    )
    if found.fetchone() is None:
        connection.execute(
            text(
                "ALTER TABLE tag_merges ADD COLUMN changed_shards TEXT NULL"
                " COMMENT 'JSON list of the shards with changes in the snapshot; NULL: all of `shards`'"
            )
        )
