"""Lists that are read page by page, on a table whose rows share a time, come and go between two pages."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import psycopg
import pytest

from shared.db import Conn
from shared.operators.pagination import Keyset, cut
from tests.support.engines import Database

PAGE: Final = 2
# Ids by time: the first and the last time belong to several rows.
ROWS: Final = [(1, 5), (1, 3), (1, 4), (2, 1), (3, 6), (3, 2)]
ASCENDING: Final = [3, 4, 5, 1, 2, 6]
ORDERS: Final = pytest.mark.parametrize(("descending", "expected"), [(False, ASCENDING), (True, ASCENDING[::-1])])


@pytest.fixture
def conn(database: Callable[[str], Database]) -> Iterator[Conn]:
    with psycopg.connect(database("desk").superuser_url) as made:
        made.execute("CREATE TEMPORARY TABLE letters (time integer NOT NULL, id integer PRIMARY KEY)")
        with made.cursor() as cursor:
            cursor.executemany("INSERT INTO letters VALUES (%s, %s)", ROWS)
        yield made


def page(conn: Conn, keyset: Keyset, after: int | None) -> tuple[list[int], int | None]:
    follows = f"WHERE {keyset.follows('letters AS l WHERE l.id = %(after)s')}" if after else ""
    query = f"SELECT l.id FROM letters AS l {follows} {keyset.order} LIMIT {PAGE + 1}"
    return cut([row[0] for row in conn.execute(query.encode(), {"after": after}).fetchall()], PAGE)


def pages(conn: Conn, keyset: Keyset) -> Iterator[list[int]]:
    shown, last = page(conn, keyset, None)
    yield shown
    while last is not None:
        shown, last = page(conn, keyset, last)
        yield shown


def by_time(descending: bool) -> Keyset:
    return Keyset(columns=("l.time", "l.id"), descending=descending)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], ([], None)),
        ([1], ([1], None)),
        ([1, 2], ([1, 2], None)),
        ([1, 2, 3], ([1, 2], 2)),
    ],
)
def test_cut_names_the_last_row_only_if_another_page_follows(
    found: Sequence[int], expected: tuple[list[int], int | None]
) -> None:
    assert cut(found, PAGE) == expected


@ORDERS
def test_ties_across_pages_are_shown_once_each(conn: Conn, descending: bool, expected: list[int]) -> None:
    assert [*pages(conn, by_time(descending))] == [expected[:2], expected[2:4], expected[4:]]


def test_exact_last_page_is_followed_by_none(conn: Conn) -> None:
    conn.execute("DELETE FROM letters WHERE time = 3")
    assert [*pages(conn, by_time(False))] == [[3, 4], [5, 1]]


def test_list_without_rows_is_one_empty_page(conn: Conn) -> None:
    conn.execute("DELETE FROM letters")
    assert [*pages(conn, by_time(False))] == [[]]


@ORDERS
def test_rows_that_come_and_go_before_the_boundary_move_no_page(
    conn: Conn, descending: bool, expected: list[int]
) -> None:
    _, last = page(conn, by_time(descending), None)
    conn.execute("DELETE FROM letters WHERE id = %s", (expected[0],))
    conn.execute("INSERT INTO letters VALUES (%s, 7), (%s, 8)", (9, 9) if descending else (0, 0))
    assert page(conn, by_time(descending), last)[0] == expected[2:4]


def test_deleted_row_at_the_boundary_ends_a_list_whose_cursor_is_an_id(conn: Conn) -> None:
    _, last = page(conn, by_time(False), None)
    conn.execute("DELETE FROM letters WHERE id = %s", (last,))
    assert page(conn, by_time(False), last) == ([], None)
