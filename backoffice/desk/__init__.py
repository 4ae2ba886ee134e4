"""The CA's desk: what staff look up, and the few things they do; its database is fed by events alone."""
