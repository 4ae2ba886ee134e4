"""What a service lets the CA's desk do: an API at an address of its own, for one member of staff at a time."""
