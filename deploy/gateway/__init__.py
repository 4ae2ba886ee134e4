"""The gateway: one set of rules for who may reach what, and with which identity."""
