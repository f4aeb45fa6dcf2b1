"""活跃交易者: more than ten trades in 30 days."""

from tag_platform.tags import TagClass


class ActiveTrader(TagClass):
    """活跃交易者. Its rule in MySQL decides alone."""

    tag_id = 2
    fields = ("user_activity_summary.trade_count_30d",)
