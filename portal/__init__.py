"""The portal: the pages on which an Authorised Representative renews; a client of the public API like any other."""
