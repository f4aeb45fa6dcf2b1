"""The ledger of merges: it leads from a run to the snapshots of what it changed, its before-images."""

from alembic import op
from sqlalchemy import text

revision = "0005_ledger"
down_revision = "0004_idempotency"

TABLE = """
CREATE TABLE IF NOT EXISTS tag_merges (
    merge_id BIGINT PRIMARY KEY AUTO_INCREMENT,
    run_id VARCHAR(100) NOT NULL COMMENT 'the run that merged',
    undoes VARCHAR(100) NULL COMMENT 'the run that was put back, for an undo',
    path VARCHAR(1000) NOT NULL COMMENT 'snapshot of the changes: the before-images',
    shard_count INT NOT NULL,
    shards TEXT NOT NULL COMMENT 'JSON list of shard numbers',
    started_time TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'before the first row was written',
    finished_time TIMESTAMP(6) NULL DEFAULT NULL COMMENT 'empty while it is running, and where it was cut off',
    KEY ix_run (run_id)
) CHARACTER SET utf8mb4
"""


def upgrade() -> None:
    op.get_bind().execute(text(TABLE))
