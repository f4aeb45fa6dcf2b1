"""最近活跃用户: a login in the last seven days."""

from tag_platform.tags import TagClass


class RecentlyActiveUser(TagClass):
    """最近活跃用户. Its rule in MySQL decides alone."""

    tag_id = 8
    fields = ("user_activity_summary.last_login_date",)
