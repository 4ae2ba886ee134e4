"""Rules of domain control validation and CAA."""
