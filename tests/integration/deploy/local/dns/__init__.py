"""The local DNS over real sockets, beside unbound on the same zone."""
