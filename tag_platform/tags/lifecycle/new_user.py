"""新注册用户: registered in the last 30 days."""

from tag_platform.tags import TagClass


class NewUser(TagClass):
    """新注册用户. Its rule in MySQL decides alone."""

    tag_id = 4
    fields = ("user_basic_info.registration_date",)
