"""VIP客户: VIP2 or VIP3, with a verified identity."""

from tag_platform.tags import TagClass


class VipUser(TagClass):
    """VIP客户. Its rule in MySQL decides alone."""

    tag_id = 5
    fields = ("user_basic_info.user_level", "user_basic_info.kyc_status")
