"""Messaging: outbox and relay, consumer and inbox, held events, feeds, and recovery after a restore."""
