"""Unit tests of the reconciliation: planted divergences, and files that prove nothing."""
