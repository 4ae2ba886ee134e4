"""Reconciliation: compares the records of all services, the topics, the payment provider and the mail server.

It reads each service's signed extract (`python -m services.SERVICE.main export`), never its code or tables.
"""
