"""Kubernetes: manifests that are generated from the code, and the Secrets of a development cluster."""
