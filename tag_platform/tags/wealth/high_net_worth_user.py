"""高净值用户: total assets of 100,000 or more."""

from tag_platform.tags import TagClass


class HighNetWorthUser(TagClass):
    """高净值用户. Its rule in MySQL decides alone."""

    tag_id = 1
    fields = ("user_asset_summary.total_asset_value",)
