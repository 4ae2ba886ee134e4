"""Public-key standards that more than one part needs."""
