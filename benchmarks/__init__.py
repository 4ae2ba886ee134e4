"""What the system can do, measured on throw-away engines: `make bench`."""
