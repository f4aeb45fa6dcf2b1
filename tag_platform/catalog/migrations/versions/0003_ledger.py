"""What a merge needs to be trusted: a ledger of merges that leads from a run to its before-images, tags that people
manage, and bounds of their own for tags that move more than others."""

from alembic import op
from sqlalchemy import text

revision = "0003_ledger"
down_revision = "0002_first_tags"

TABLES = """
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
) CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS user_tag_choices (
    choice_id BIGINT PRIMARY KEY AUTO_INCREMENT,
    user_id VARCHAR(100) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL,
    tag_id INT NOT NULL,
    choice VARCHAR(10) NOT NULL COMMENT 'pin: always has the tag; exclude: never has it',
    chosen_by VARCHAR(200) NOT NULL,
    reason VARCHAR(1000) NOT NULL,
    created_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY uk_user_tag (user_id, tag_id)
) CHARACTER SET utf8mb4
"""
COLUMNS = {
    "manual": "BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'people give and take it; runs never do'",
    "max_left_share": "DOUBLE NULL COMMENT 'the share of its users that a run may take it from; empty: the default'",
    "max_entered_share": "DOUBLE NULL COMMENT 'users that a run may give it to, per user who has it; empty: the default'",
}


def upgrade() -> None:
    connection = op.get_bind()
    version = str(connection.execute(text("SELECT VERSION()")).scalar()).lower()
    collation = "utf8mb4_nopad_bin" if "mariadb" in version else "utf8mb4_0900_bin"
    for statement in TABLES.replace("{collation}", collation).split(";"):
        connection.execute(text(statement))
    for name, definition in COLUMNS.items():
        known = connection.execute(
            text(
                "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()"
                " AND table_name = 'tag_definition' AND column_name = :name"
            ),
            {"name": name},
        ).scalar()
        if not known:
            connection.execute(text(f"ALTER TABLE tag_definition ADD COLUMN {name} {definition}"))
