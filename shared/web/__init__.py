"""HTTP: application factory, requests, problems, idempotency, authentication, the server; a client of the gateway."""
