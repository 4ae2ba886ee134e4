"""The feed of issuance events over HTTP, for readers without Kafka; a process of its own with read rights alone."""
