"""Kafka: the topics, and which service may write or read each."""
