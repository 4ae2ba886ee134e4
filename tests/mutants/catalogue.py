"""The catalogue of mutants: one fault each, with the tests that must find it."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "mutants.toml"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A fault: `old` occurs exactly once in `file`; with `new` in its place one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def plant(self, root: Path) -> str:
        """Write the fault into the tree at `root`; return the file's text from before. Raises ValueError."""
        path = root / self.file
        before = path.read_text("utf-8") if path.exists() else ""
        if before.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.file} has its old text {before.count(self.old)} times, not once")
        path.write_text(before.replace(self.old, self.new), "utf-8")
        return before

    def restore(self, root: Path, before: str) -> None:
        """Write the original text back."""
        (root / self.file).write_text(before, "utf-8")


def load() -> list[Mutant]:
    """Return every mutant of the data file."""
    found = tomllib.loads(FILE.read_text("utf-8"))["mutant"]
    return [Mutant(**{**each, "tests": tuple(each["tests"])}) for each in found]


def stale(mutants: list[Mutant], root: Path) -> Iterator[str]:
    """Name each entry that no longer fits the code: moved or doubled text, a test that is gone, a name used twice."""
    for mutant in mutants:
        path = root / mutant.file
        text = path.read_text("utf-8") if path.exists() else ""
        if text.count(mutant.old) != 1:
            yield f"{mutant.name}: {mutant.file} has its old text {text.count(mutant.old)} times, not once"
        if mutant.old == mutant.new or not mutant.tests:
            yield f"{mutant.name}: it changes nothing, or names no test"
        yield from (f"{mutant.name}: there is no test {test}" for test in mutant.tests if not _exists(test, root))
    names = [mutant.name for mutant in mutants]
    yield from (f"{name}: two mutants have this name" for name in sorted({n for n in names if names.count(n) > 1}))


def _exists(test: str, root: Path) -> bool:
    file, _, function = test.partition("::")
    path = root / file
    return path.exists() and (not function or f"def {function.partition('[')[0]}(" in path.read_text("utf-8"))
