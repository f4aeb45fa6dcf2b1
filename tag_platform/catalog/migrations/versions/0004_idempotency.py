"""The gateway's requests with an `Idempotency-Key`, so that a retry finds the first one's task."""

from alembic import op
from sqlalchemy import text

revision = "0004_idempotency"
down_revision = "0002_first_tags"


def upgrade() -> None:
    op.get_bind().execute(
        text(
            "CREATE TABLE IF NOT EXISTS gateway_request ("
            " request_key CHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY COMMENT 'sha256 of the key',"
            " body_digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'sha256 of the request',"
            " launched_at DATETIME NOT NULL COMMENT 'UTC',"
            " task_id VARCHAR(64) NULL COMMENT 'the run; NULL while it is being launched'"
            ") CHARACTER SET utf8mb4"
        )
    )
