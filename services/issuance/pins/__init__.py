"""PINs: check digits, hashes and encrypted envelopes."""
