"""Feed of issuance events over HTTP, for readers without Kafka; a separate process with read-only rights."""
