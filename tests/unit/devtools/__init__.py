"""The tools of whoever works on the system."""
