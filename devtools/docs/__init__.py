"""Generators of the reference documents in docs/; `make docs` runs them."""
