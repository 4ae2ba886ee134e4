"""PINs: their slips, hashes and sealed envelopes."""
