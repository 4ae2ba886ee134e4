"""Rules of a perspective that need no server."""
