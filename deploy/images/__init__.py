"""The images, built and run by buildah and podman: no engine that runs all the time is needed."""
