"""application: owns subscriptions, prices and renewals; drives each renewal to its end, and publishes its lifecycle."""
