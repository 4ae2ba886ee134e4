"""What the CA signs with and by: its key, profiles, validity policy, lint, CRLs and the list of weak keys."""
