"""The four tables. A database that holds them already (names and columns are those of the first release) keeps its
rows and gets what is new: a byte-wise user id and the shard slot."""

from alembic import op
from sqlalchemy import text
from sqlalchemy.engine import Connection

revision = "0001_tables"
down_revision = None

TABLES = """
CREATE TABLE IF NOT EXISTS tag_category (
    category_id INT PRIMARY KEY AUTO_INCREMENT,
    category_name VARCHAR(100) NOT NULL COMMENT '分类名称',
    description TEXT COMMENT '分类描述',
    is_active BOOLEAN DEFAULT TRUE COMMENT '是否激活',
    created_date TIMESTAMP DEFAULT CURRENT_TIMESTAMP
) CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS tag_definition (
    tag_id INT PRIMARY KEY AUTO_INCREMENT,
    tag_name VARCHAR(200) NOT NULL COMMENT '标签名称',
    tag_category VARCHAR(100) NOT NULL COMMENT '标签分类',
    description TEXT COMMENT '标签描述',
    is_active BOOLEAN DEFAULT TRUE COMMENT '是否激活',
    created_date TIMESTAMP DEFAULT CURRENT_TIMESTAMP
) CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS tag_rules (
    rule_id INT PRIMARY KEY AUTO_INCREMENT,
    tag_id INT NOT NULL COMMENT '标签ID',
    rule_conditions JSON NOT NULL COMMENT '规则条件（JSON格式）',
    is_active BOOLEAN DEFAULT TRUE COMMENT '是否激活',
    created_date TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (tag_id) REFERENCES tag_definition(tag_id)
) CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS user_tags (
    id BIGINT PRIMARY KEY AUTO_INCREMENT,
    user_id VARCHAR(100) NOT NULL COMMENT '用户ID',
    tag_ids JSON NOT NULL COMMENT '用户的所有标签ID数组 [1,2,3,5]',
    tag_details JSON COMMENT '标签详细信息 {"1": {"tag_name": "高净值用户", "tag_category": "财富管理"}}',
    created_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP COMMENT '创建时间（永远不变）',
    updated_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP COMMENT '更新时间（由UPSERT逻辑控制）',
    UNIQUE KEY uk_user_id (user_id)
) CHARACTER SET utf8mb4
"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in TABLES.split(";"):
        connection.execute(text(statement))
    # Byte by byte and without padding: 'A1', 'a1' and 'a1 ' are three users. The two servers name this differently.
    version = str(connection.execute(text("SELECT VERSION()")).scalar()).lower()
    collation = "utf8mb4_nopad_bin" if "mariadb" in version else "utf8mb4_0900_bin"
    if _collation(connection, "user_id") != collation:
        connection.execute(
            text(
                f"ALTER TABLE user_tags MODIFY user_id VARCHAR(100) CHARACTER SET utf8mb4 COLLATE {collation}"
                " NOT NULL COMMENT '用户ID'"
            )
        )
    if _collation(connection, "shard_slot") is None:
        # The finest shard number (1,024 shards at most, a power of two): any shard is a set of slots, found by index.
        connection.execute(
            text(
                "ALTER TABLE user_tags"
                " ADD COLUMN shard_slot SMALLINT UNSIGNED AS (CRC32(user_id) % 1024) STORED"
                " COMMENT 'crc32(user_id) % 1024', ADD KEY ix_shard_slot (shard_slot)"
            )
        )


def _collation(connection: Connection, column: str) -> str | None:
    """The column's collation, "" for a column without one, None where there is no such column."""
    row = connection.execute(
        text(
            "SELECT COALESCE(collation_name, '') FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'user_tags' AND column_name = :name"
        ),
        {"name": column},
    ).fetchone()
    return str(row[0]) if row else None
