"""Our own signatures: tokens, proofs, audit seals and signed extracts."""
