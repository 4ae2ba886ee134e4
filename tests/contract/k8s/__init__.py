"""deploy/k8s rendered: every object valid, every policy kept, and the same as the code says."""
