"""HTTP: the service's app, requests, problems, idempotency, authentication and the server that runs it."""
