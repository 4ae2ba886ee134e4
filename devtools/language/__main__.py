"""Language check: print each broken rule as `file:line: rule: text`; exit status 1 if there is one."""

import sys
from collections.abc import Iterator
from pathlib import Path

from devtools.language.raises import names_of, unknown_exceptions
from devtools.language.rules import Exemption, Words, findings_of, read_words
from devtools.language.texts import texts_of


def files(root: Path, words: Words) -> Iterator[str]:
    """Yield the files to check, by their path from the root."""
    for path in words.paths:
        under = sorted((root / path).rglob("*")) if (root / path).is_dir() else [root / path]
        for file in under:
            name = file.relative_to(root).as_posix()
            if file.is_file() and not any(part in f"/{name}" for part in words.without):
                yield name


def check(root: Path, words: Words) -> tuple[list[str], set[Exemption]]:
    """Return the broken rules as lines to print, and the exceptions that were needed."""
    broken, needed = [], set[Exemption]()
    names = names_of(root / name for name in files(root, words) if name.endswith(".py"))
    for name in files(root, words):
        for text in texts_of(root / name):
            for finding in (*findings_of(text, words), *unknown_exceptions(text, names)):
                allowed = {each for each in words.exceptions if each.path == name and each.text in finding.text}
                needed |= allowed
                if not allowed:
                    broken.append(f"{name}:{finding.line}: {finding.rule}: {finding.text}")
    return broken, needed


def main() -> int:
    """Print what is wrong under the working directory; return the exit status."""
    words = read_words()
    broken, needed = check(Path.cwd(), words)
    broken += [
        f"words.toml: exception is not needed: {each.path}: {each.text}" for each in set(words.exceptions) - needed
    ]
    print("\n".join(broken), end="\n" if broken else "")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
