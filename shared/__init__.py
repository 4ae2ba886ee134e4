"""The wire, the plumbing and the standards that all services share; no rule of any one service."""
