"""What of the manifests runs without a cluster."""
