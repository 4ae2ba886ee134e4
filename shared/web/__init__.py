"""HTTP: application factory, requests, problems, idempotency, authentication and the server."""
