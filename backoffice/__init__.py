"""Tools of the CA's back office: the consumer kit, the desk and the reconciliation."""
