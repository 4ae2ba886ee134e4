-- Refused answers to a challenge that stand in the audit log already: the same answer again writes no second row.
-- A row goes with its challenge.

CREATE TABLE sign_in_refusals (
    challenge_id       UUID NOT NULL REFERENCES sign_in_challenges (id) ON DELETE CASCADE,
    reason             TEXT NOT NULL,
    -- Empty when the signature itself was refused: then nobody is known to have made it.
    certificate_sha256 TEXT NOT NULL,
    PRIMARY KEY (challenge_id, reason, certificate_sha256)
);
