"""Calendar dates as people write them."""

from __future__ import annotations

from datetime import date

from tag_platform.errors import BadInput


def parse_date(text: str) -> date:
    """Reads YYYY-MM-DD. Raises `BadInput` for anything else."""
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no date; write YYYY-MM-DD.") from error
