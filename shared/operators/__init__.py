"""Operator API of a service for the CA's desk: actions in the name of one member of staff."""
