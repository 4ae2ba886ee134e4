"""Public-key standards that more than one part needs: certificates, CRLs, serials, and the rules for server names."""
