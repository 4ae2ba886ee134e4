-- Every envelope that is shown asks which one replaces it.
CREATE INDEX envelopes_replaces ON envelopes (replaces) WHERE replaces IS NOT NULL;
