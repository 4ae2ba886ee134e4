"""Standards of public-key certificates that more than one part needs."""
