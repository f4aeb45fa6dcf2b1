"""New rows of `user_tags` by `LOAD DATA LOCAL`, several times as fast as INSERT: the text of a whole batch is made by
Arrow, without a Python object per row, and the server parses no statement.

It is the same promise as an INSERT that does nothing where the row exists: a row that is there already is skipped, and
the caller is told that not all were new. Where the server does not allow it (`local_infile`), rows go by INSERT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pymysql.constants import CLIENT, COMMAND
from pymysql.protocol import OKPacketWrapper

from tag_platform.compute.stored_tags import DetailsText, parse_tag_ids
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, connect

if TYPE_CHECKING:
    from pymysql.connections import Connection

LOAD = (
    "LOAD DATA LOCAL INFILE 'rows' IGNORE INTO TABLE user_tags CHARACTER SET utf8mb4"
    r" FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n' (user_id, tag_ids, tag_details)"
)
ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"))  # the backslash first
PACKET = 1 << 20


def connect_to_load(database: Database) -> tuple[Connection[Any], bool]:
    """A connection, and whether the server accepts rows by `load_rows` on it.

    The connection can send data, but PyMySQL's own answer to a server that asks for a file stays off: such a server
    could ask for any file of this machine at any time.
    """
    connection = connect(database, client_flag=CLIENT.LOCAL_FILES)
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.local_infile")
        return connection, bool(cursor.fetchone()[0])


def load_rows(connection: Connection[Any], rows: pa.Table, details: DetailsText) -> bool:
    """Loads `rows` (`user_id`, `after`) in the caller's transaction. False where one of them was there already or the
    server had anything else to say: the caller then rolls back."""
    found, warnings = _send(connection, LOAD, rows_text(rows, details))
    return found == rows.num_rows and warnings == 0


def rows_text(rows: pa.Table, details: DetailsText) -> pa.Buffer:
    """The rows as lines of `user_id, tag_ids, tag_details` between tabs, in UTF-8."""
    users, tags = (rows.column(name).combine_chunks() for name in ("user_id", "after"))
    users = pc.cast(users, pa.string())
    for character, escaped in ESCAPES:
        users = pc.replace_substring(users, character, escaped)
    ids = pc.binary_join(pc.cast(tags, pa.list_(pa.string())), ", ")
    # Users share few sets of tags: the rest of the line is made once for each set.
    sets = pc.binary_join_element_wise("[", ids, "]", "").dictionary_encode()
    ends = pa.array([_end_of_line(text, details) for text in sets.dictionary.to_pylist()], pa.string())
    lines = pc.binary_join_element_wise(users, ends.take(sets.indices), "\t")
    return pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "")[0].as_buffer()


def _end_of_line(tag_ids: str, details: DetailsText) -> str:
    parsed = parse_tag_ids(tag_ids)
    assert parsed is not None  # noqa: S101 (it was made from whole numbers)
    text = details(parsed[0])
    for character, escaped in ESCAPES:
        text = text.replace(character, escaped)
    return f"{tag_ids}\t{text}\n"


def _send(connection: Connection[Any], statement: str, data: pa.Buffer) -> tuple[int, int]:
    """Runs a `LOAD DATA LOCAL` over `data`; returns the rows inserted and the number of warnings.

    PyMySQL has no way to give anything but a file, so this speaks the protocol's four steps itself: the statement, the
    server's request for the file, the data in packets with an empty one behind, and the result.
    """
    protocol: Any = connection
    protocol._execute_command(COMMAND.COM_QUERY, statement)
    if not protocol._read_packet().is_load_local_packet():
        raise TagPlatformError("The database did not ask for the rows of LOAD DATA LOCAL.")
    view = memoryview(data)
    for start in range(0, len(view), PACKET):
        protocol.write_packet(bytes(view[start : start + PACKET]))
    protocol.write_packet(b"")
    result = OKPacketWrapper(protocol._read_packet())
    return int(result.affected_rows), int(result.warning_count)
