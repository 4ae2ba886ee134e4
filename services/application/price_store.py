"""SQL of prices; takes a connection and never commits."""

from typing import Any

from psycopg.rows import kwargs_row

from services.application.prices import Price
from shared.db import Conn
from shared.vocabulary import Product


def _price(product: str, **rest: Any) -> Price:
    return Price(product=Product(product), **rest)


def find_prices(conn: Conn) -> list[Price]:
    """Return the prices of all lists."""
    with conn.cursor(row_factory=kwargs_row(_price)) as cursor:
        return cursor.execute(
            """SELECT version, effective_from, product, base_minor, additional_minor FROM prices
               ORDER BY effective_from, product"""
        ).fetchall()


def lock_prices(conn: Conn) -> None:
    """Lock out others that load a list; readers go on."""
    conn.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")


def add_prices(conn: Conn, prices: list[Price]) -> None:
    """Insert a list."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO prices (version, effective_from, product, base_minor, additional_minor)
               VALUES (%(version)s, %(effective_from)s, %(product)s, %(base_minor)s, %(additional_minor)s)""",
            [vars(price) for price in prices],
        )
