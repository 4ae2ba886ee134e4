"""Validation of domain names and of CAA, judged from what the perspectives observed."""
