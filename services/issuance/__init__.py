"""issuance: owns PINs, CSRs, orders, certificates and CRLs; publishes issuance.events and issuance.pin-envelopes."""
