"""现金充足用户: 50,000 or more in cash."""

from tag_platform.tags import TagClass


class CashRichUser(TagClass):
    """现金充足用户. Its rule in MySQL decides alone."""

    tag_id = 6
    fields = ("user_asset_summary.cash_balance",)
