"""What `user_tags` holds is read exactly or not at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_platform.compute.stored_tags import DetailsText, parse_tag_ids, tag_ids_text


@given(st.sets(st.integers(1, 2**31 - 1)))
def test_written_text_is_read_back(tag_ids: set[int]) -> None:
    ids = sorted(tag_ids)
    assert parse_tag_ids(tag_ids_text(ids)) == (ids, True)


@pytest.mark.parametrize("text", ["[3, 1]", "[1, 1]", "[1,2]", " [1]"])
def test_other_spellings_are_read_and_marked(text: str) -> None:
    """Somebody's own UPDATE counts, and is written anew in the platform's order."""
    found = parse_tag_ids(text)
    assert found is not None
    assert found == (sorted(set(json.loads(text))), False)


@pytest.mark.parametrize("text", ["", "{}", "[1.5]", '["1"]', "[true]", "[null]", "7", "[1", "[99999999999]"])
def test_anything_else_is_unknown(text: str) -> None:
    """It must never be taken for "no tags"."""
    assert parse_tag_ids(text) is None


def test_details_are_in_the_order_in_which_mysql_prints_json() -> None:
    """MySQL sorts keys by length first: 2 before 10, tag_name before tag_category. CRC32 in the server relies on it."""
    details = DetailsText({10: {"tag_name": "十", "tag_category": "c"}, 2: {"tag_name": 'q"', "tag_category": "c"}})
    assert details([2, 10, 99]) == (
        '{"2": {"tag_name": "q\\"", "tag_category": "c"}, "10": {"tag_name": "十", "tag_category": "c"}}'
    )
