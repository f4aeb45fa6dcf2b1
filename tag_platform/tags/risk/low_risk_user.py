"""低风险用户: a risk score of 30 or less."""

from tag_platform.tags import TagClass


class LowRiskUser(TagClass):
    """低风险用户. Its rule in MySQL decides alone."""

    tag_id = 3
    fields = ("user_basic_info.risk_score",)
