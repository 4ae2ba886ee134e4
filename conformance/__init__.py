"""Conformance suite: a feed of real broker, database, relay, feed process and gateway, with faults on demand."""
