"""Manual tags, bounds of the gate for single tags, and what people decided for single users: pins and exclusions, each
with who, why and when."""

from alembic import op
from sqlalchemy import text

revision = "0006_overrides"
down_revision = "0005_ledger"

COLUMNS = {
    "is_manual": "BOOLEAN NOT NULL DEFAULT FALSE COMMENT '人工标签：运行既不添加也不移除'",
    "max_left_share": "DOUBLE NULL COMMENT '一次合并最多可失去的用户比例；NULL 用全局设置'",
    "max_entered_share": "DOUBLE NULL COMMENT '一次合并最多可新增的用户比例；NULL 用全局设置'",
}
# Rows are only added; `in_force` alone is taken from a row when a later one replaces it. The unique key lets one row of
# a user and tag be in force at most, since NULLs differ from each other.
TABLE = """
CREATE TABLE IF NOT EXISTS user_tag_overrides (
    override_id BIGINT PRIMARY KEY AUTO_INCREMENT,
    user_id VARCHAR(100) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL,
    tag_id INT NOT NULL,
    kind VARCHAR(10) NOT NULL COMMENT 'pin, exclude, or release of either',
    in_force BOOLEAN NULL COMMENT '1 for the pin or exclusion that holds now, else NULL',
    made_by VARCHAR(100) NOT NULL,
    why VARCHAR(1000) NOT NULL,
    made_time TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    before_tags TEXT NULL COMMENT 'JSON: tag_ids of the user before; NULL for no row',
    after_tags TEXT NULL COMMENT 'JSON: tag_ids after',
    shard_slot SMALLINT UNSIGNED AS (CRC32(user_id) % 1024) STORED COMMENT 'as in user_tags',
    UNIQUE KEY uk_in_force (user_id, tag_id, in_force),
    KEY ix_in_force (in_force, shard_slot),
    KEY ix_made (made_time)
) CHARACTER SET utf8mb4
"""


def upgrade() -> None:
    connection = op.get_bind()
    for name, kind in COLUMNS.items():
        found = connection.execute(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = DATABASE() AND table_name = 'tag_definition' AND column_name = :name"
            ),
            {"name": name},
        )
        if found.fetchone() is None:
            connection.execute(text(f"ALTER TABLE tag_definition ADD COLUMN {name} {kind}"))
    version = str(connection.execute(text("SELECT VERSION()")).scalar()).lower()
    collation = "utf8mb4_nopad_bin" if "mariadb" in version else "utf8mb4_0900_bin"
    connection.execute(text(TABLE.format(collation=collation)))
