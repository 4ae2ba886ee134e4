"""A payment company in a box: hosted checkout, captures, refunds, signed webhooks, and faults on demand.

It stands in for the outside world, so it imports nothing of this system, and nothing of this system imports it.
"""
