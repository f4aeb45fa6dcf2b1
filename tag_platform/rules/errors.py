"""How a rule is refused: every error of the rule at once, each with its JSON path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tag_platform.errors import BadInput


@dataclass(frozen=True)
class RuleError:
    """One thing that is wrong: where (`$.conditions[1].value`), and what was found and what is allowed."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidRule(BadInput):
    """The rule is not evaluated at all. `errors` lists all that is wrong with it, in document order."""

    def __init__(self, errors: Iterable[RuleError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))


def shown(value: object, limit: int = 60) -> str:
    """A found value as an error message shows it: as JSON, cut to `limit` characters."""
    if type(value) is str:
        text = '"' + value[: limit + 1].replace("\\", "\\\\").replace('"', '\\"') + '"'
        text = text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    elif value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{shown(k, 20)}: …" for k in list(value)[:4]) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(v, 20) for v in value[:4]) + (", …]" if len(value) > 4 else "]")
    else:
        text = str(value)  # numbers as the rule writes them, which are a kind of str to the parser
    return text if len(text) <= limit else text[: limit - 1] + "…"
