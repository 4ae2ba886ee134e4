"""CSRs: encoding, names, key and signature."""
