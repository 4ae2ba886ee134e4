"""Signatures of ours: tokens, proofs, audit seals and signed extracts."""
