"""Tag classes for the tests of the data plane: sound ones, and one for each way to fail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import ClassVar

from pyspark.sql import Column
from pyspark.sql import functions as F

from tag_platform.tags import TagClass, UserFields


class Adults(TagClass):
    """The rule, for users of whom the country is known."""

    tag_id = 51
    fields = ("people.country",)

    def applies(self, user: UserFields) -> Column:
        return user["people.country"].isNotNull()


class TradesPerLogin(TagClass):
    """A rule over a quotient of two columns."""

    tag_id = 52
    fields = ("trades", "logins")
    derived_fields: ClassVar[Mapping[str, str]] = {"trades_per_login": "double"}

    def derive(self, user: UserFields) -> Mapping[str, Column]:
        return {"trades_per_login": F.when(user["logins"] > 0, user["trades"] / user["logins"])}


class WithGrace(TagClass):
    """The rule, and everybody who joined on the run's date."""

    tag_id = 53
    fields = ("joined",)

    def decide(self, matches: Column, user: UserFields) -> Column:
        return matches | (user["joined"] == F.lit(user.as_of))


class Raises(TagClass):
    tag_id = 54

    def decide(self, matches: Column, user: UserFields) -> Column:  # noqa: ARG002
        raise RuntimeError("no idea")


class NoBoolean(TagClass):
    tag_id = 55

    def decide(self, matches: Column, user: UserFields) -> Column:  # noqa: ARG002
        return F.lit(date(2026, 1, 1))


class FailsAtWork(TagClass):
    """Its column is sound; what fails is the work on the rows."""

    tag_id = 56
    fields = ("people.country",)

    def applies(self, user: UserFields) -> Column:
        def fail(_value: str) -> bool:
            raise ValueError("a row that it cannot take")

        return F.udf(fail, "boolean")(user["people.country"])
