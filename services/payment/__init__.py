"""payment owns payments, refunds, the ledger and receipts; it publishes PaymentCaptured, PaymentDeclined,
PaymentExpired and PaymentRefunded."""
