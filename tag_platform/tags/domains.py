"""The business domains: folder names of tag classes, and group names of assets, by the category that MySQL has."""

DOMAINS = {
    "财富管理": "wealth",
    "行为分析": "behavior",
    "风险管理": "risk",
    "生命周期": "lifecycle",
    "价值管理": "value",
    "人口特征": "demographic",
}
OTHER = "other_tags"  # categories of one's own: Dagster's group names are ASCII


def domain_of(category: str) -> str:
    return DOMAINS.get(category, OTHER)
