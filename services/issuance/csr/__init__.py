"""Reading and judging a CSR: its encoding, names, key and signature."""
