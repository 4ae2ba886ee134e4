"""The gateway: one set of rules about reachable paths and client identities."""
