"""The CA's desk: a web application where staff look up renewals and operate services; fed by events only."""
