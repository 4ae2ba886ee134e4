"""payment: owns payments, refunds, the ledger and receipts; publishes PaymentCaptured, PaymentDeclined, PaymentExpired
and PaymentRefunded.
"""
