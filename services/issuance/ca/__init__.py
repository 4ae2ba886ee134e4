"""The issuing CA: its key, profiles, validity policy, lint, CRLs and the list of weak keys."""
