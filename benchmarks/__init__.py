"""Benchmarks of the system on temporary engines: `make bench`."""
