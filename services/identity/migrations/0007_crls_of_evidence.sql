-- Whether a list belongs to evidence is asked of every list that could go.
CREATE INDEX evidence_crls_of_crl ON evidence_crls (issuer_sha256, crl_sha256);
CREATE INDEX crls_age ON crls (accepted_at);
