"""Kind of divergence: a query over the records of one comparison."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of divergence. `needs` names the records without which it cannot be compared."""

    name: str
    meaning: str
    query: str
    needs: frozenset[str] = frozenset()


def kind(name: str, meaning: str, query: str, *needs: str) -> Kind:
    """Return a kind of divergence."""
    return Kind(name=name, meaning=meaning, query=query, needs=frozenset(needs))
