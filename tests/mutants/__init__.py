"""Mutants: known faults, planted one at a time, that the suite must find."""
