"""A feed to practise on: the real broker, database, relay, feed and gateway, in which things are made to go wrong."""
