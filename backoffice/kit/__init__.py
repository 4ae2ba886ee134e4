"""The consumer kit: a reader of the feed of issuance events that a back office can use as it is, or learn from."""
