"""Cases of the long test run."""

from typing import Final

from tests.integration.perspective.cases import Table

TABLE: Final = Table("h")
