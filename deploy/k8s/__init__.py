"""Kubernetes: what of the manifests is written from the code, and the Secrets of a cluster for development."""
