"""How the system is brought up: on one machine, and behind its gateway."""
