"""Reconciliation: compares what each service, the topics, the payment provider and the mail server say of each renewal.

It knows a service by its signed extract alone (`python -m services.SERVICE.main export`), never by its code or tables.
"""
