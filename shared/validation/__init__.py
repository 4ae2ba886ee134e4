"""Validation of input: budgets, the parsing pool, text decoding, and the rules for records."""
