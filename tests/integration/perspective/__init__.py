"""A perspective against real servers: knot with signed zones, unbound, web servers."""
