"""Sandbox payment provider: hosted checkout, captures, refunds, signed webhooks, and faults on demand.

It stands in for an external company, so it imports nothing of this system, and nothing of this system imports it.
"""
