"""Images, built and run by buildah and podman, without a daemon."""
