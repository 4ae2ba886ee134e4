"""mailing: owns e-mails, PIN Envelopes and posting batches; publishes mailing.events."""
