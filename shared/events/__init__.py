"""Events on the wire: one module per publisher, one frozen dataclass per event and version."""
