-- Proposed evidence lies in the table of all proposals. No release has run with this one, so it goes at once.
INSERT INTO proposals
SELECT id, 'evidence', kind || '/' || subject, subject,
       jsonb_build_object('kind', kind, 'verified_at', verified_at, 'source', source, 'checker', checker),
       reason, proposed_by, proposed_at, decision, decided_by, decided_at, decision_reason
FROM evidence_proposals;
DROP TABLE evidence_proposals;
