"""The portal: the web site where an AR renews certificates; a client of the public API like any other."""
