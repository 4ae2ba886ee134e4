"""Parts of the manifests that run without a cluster."""
