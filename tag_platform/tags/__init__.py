"""Python classes of tags, for what a rule cannot say. Found by their tag id: there is no list to keep.

The rule stays in MySQL; a class can add a pre-condition, fields derived from others, and the last word over the result.
The classes of the eight first tags are examples, a folder per business domain. They add nothing, so their rules decide
alone. `docs/tags.md` shows how to write one, and `tag-platform tags new` writes the beginning.
"""

from tag_platform.tags.base import TagClass, UserFields

__all__ = ["TagClass", "UserFields"]
