"""Generators of docs/events, the documentation of events for outsiders."""
