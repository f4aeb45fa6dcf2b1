"""年轻用户: aged 18 to 30."""

from tag_platform.tags import TagClass


class YoungUser(TagClass):
    """年轻用户. Its rule in MySQL decides alone."""

    tag_id = 7
    fields = ("user_basic_info.age",)
