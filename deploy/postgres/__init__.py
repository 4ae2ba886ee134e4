"""PostgreSQL: a database for each service and the desk, and the roles that log in to it."""
