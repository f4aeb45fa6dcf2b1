"""The eight first tags. Rows that are there already, under the same id or name, are left as they are."""

import json
from typing import Any

from alembic import op
from sqlalchemy import text

revision = "0002_first_tags"
down_revision = "0001_tables"

TAGS: list[tuple[Any, ...]] = [
    (1, "高净值用户", "财富管理", "总资产不低于 10 万", ["total_asset_value", ">=", 100000, "number"]),
    (2, "活跃交易者", "行为分析", "30 天内交易超过 10 次", ["trade_count_30d", ">", 10, "number"]),
    (3, "低风险用户", "风险管理", "风险评分不高于 30", ["risk_score", "<=", 30, "number"]),
    (4, "新注册用户", "生命周期", "最近 30 天内注册", ["registration_date", "recent_days", 30, "date"]),
    (
        5,
        "VIP客户",
        "价值管理",
        "VIP2 或 VIP3，且已通过 KYC 验证",
        ["user_level", "in", ["VIP2", "VIP3"], "string"],
        ["kyc_status", "=", "verified", "string"],
    ),
    (6, "现金充足用户", "财富管理", "现金余额不低于 5 万", ["cash_balance", ">=", 50000, "number"]),
    (7, "年轻用户", "人口特征", "年龄 18 至 30 岁", ["age", "in_range", [18, 30], "number"]),
    (8, "最近活跃用户", "行为分析", "最近 7 天内登录", ["last_login_date", "recent_days", 7, "date"]),
]


def upgrade() -> None:
    connection = op.get_bind()
    for tag_id, name, category, description, *leaves in TAGS:
        conditions = [dict(zip(("field", "operator", "value", "type"), leaf, strict=True)) for leaf in leaves]
        rule = {"logic": "AND", "conditions": conditions}
        connection.execute(
            text(
                "INSERT INTO tag_category (category_name) SELECT :category FROM (SELECT 1) AS one"
                " WHERE NOT EXISTS (SELECT * FROM tag_category WHERE category_name = :category)"
            ),
            {"category": category},
        )
        connection.execute(
            text(
                "INSERT IGNORE INTO tag_definition (tag_id, tag_name, tag_category, description)"
                " VALUES (:tag_id, :name, :category, :description)"
            ),
            {"tag_id": tag_id, "name": name, "category": category, "description": description},
        )
        connection.execute(
            text(
                "INSERT INTO tag_rules (tag_id, rule_conditions) SELECT :tag_id, :rule FROM (SELECT 1) AS one"
                " WHERE NOT EXISTS (SELECT * FROM tag_rules WHERE tag_id = :tag_id)"
            ),
            {"tag_id": tag_id, "rule": json.dumps(rule, ensure_ascii=False)},
        )
