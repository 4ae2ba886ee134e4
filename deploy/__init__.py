"""Deployment of the system: on one machine, and behind its gateway in a cluster."""
