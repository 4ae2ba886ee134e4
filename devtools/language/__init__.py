"""Language check: the words of docstrings, comments, documents and messages, against the list in `words.toml`."""
