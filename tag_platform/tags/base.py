"""The base class of tag classes. It runs in the data plane, in the one pass that computes all tags, so everything a
class says is a column expression of PySpark; it knows neither Dagster nor MySQL."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar

from tag_platform.errors import BadInput
from tag_platform.rules.schema import parse_type

if TYPE_CHECKING:
    from pyspark.sql import Column

DERIVED = "derived"  # the table that a tag's own rule finds its derived fields in


@dataclass(frozen=True)
class UserFields:
    """One user's values, as columns: `user["age"]`, by the names in `TagClass.fields`. Each has the type in which it is
    stored; a user who is missing from a table has NULL. `as_of` is the run's date."""

    columns: Mapping[str, Column]
    as_of: date

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise BadInput(f"field {name!r} is not among the class's fields ({', '.join(self.columns) or 'none'})")
        return self.columns[name]


class TagClass:
    """What one tag needs beyond its rule. `tag_id` stands as a plain number in the class; the file is found by it.

    `fields` are the columns that the methods read, `table.column`, or the column alone where one table has it.
    `derived_fields` are the types (as Spark names them) of what `derive` gives; the tag's own rule may name them, bare
    or as `derived.<name>`. A class that overrides no method takes no part: the rule decides alone.
    """

    tag_id: ClassVar[int]
    fields: ClassVar[tuple[str, ...]] = ()
    derived_fields: ClassVar[Mapping[str, str]] = {}

    def derive(self, user: UserFields) -> Mapping[str, Column]:
        """The fields of `derived_fields`; each is cast to its type."""
        raise NotImplementedError

    def applies(self, user: UserFields) -> Column:
        """The pre-condition: only users for whom it is TRUE can have the tag."""
        raise NotImplementedError

    def decide(self, matches: Column, user: UserFields) -> Column:
        """The last word: the users for whom the returned boolean column is TRUE have the tag. `matches` is TRUE where
        the pre-condition and the rule are, and FALSE everywhere else; it is never NULL."""
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        """Refuses a class whose declarations cannot be used, when it is defined."""
        if type(getattr(cls, "tag_id", None)) is not int or cls.tag_id < 1:
            raise BadInput(f"{cls.__name__}.tag_id must be a whole number from 1.")
        if not isinstance(cls.fields, tuple) or not all(isinstance(name, str) for name in cls.fields):
            raise BadInput(f"{cls.__name__}.fields must be a tuple of names, such as ('age',).")
        for name, kind in cls.derived_fields.items():
            if not name.isidentifier():
                raise BadInput(f"{cls.__name__}.derived_fields: {name!r} is no name for a field.")
            parse_type(kind)
        if bool(cls.derived_fields) != cls.overrides("derive"):
            raise BadInput(f"{cls.__name__}: derived_fields and the method derive go together.")

    @classmethod
    def overrides(cls, method: str) -> bool:
        return getattr(cls, method) is not getattr(TagClass, method)

    @classmethod
    def takes_part(cls) -> bool:
        return any(map(cls.overrides, ("derive", "applies", "decide")))

    @classmethod
    def needs_everybody(cls) -> bool:
        """Whether users of whom nothing is known may get the tag, whatever the rule says of them."""
        return cls.overrides("decide") or cls.overrides("derive")

    @classmethod
    def path(cls) -> str:
        """Where the class is imported from, as plans name it: `package.module:ClassName`."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def source_digest(cls) -> str:
        """SHA-256 of the file that the class stands in."""
        return hashlib.sha256(inspect.getsource(sys.modules[cls.__module__]).encode()).hexdigest()
