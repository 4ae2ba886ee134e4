"""The catalogue of mutants fits the code: `make mutants` takes minutes, a stale entry is seen at once."""

from pathlib import Path

from tests.mutants.catalogue import load, stale

ROOT = Path(__file__).parents[2]


def test_mutants_every_entry_fits_the_code() -> None:
    mutants = load()

    assert len(mutants) >= 12
    # Moved or reworded code: change `old` and `new` in tests/mutants/mutants.toml with it.
    assert list(stale(mutants, ROOT)) == []
