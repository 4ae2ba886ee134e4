-- A draft that nobody submits is deleted after a while.
CREATE INDEX renewals_drafts ON renewals (created_at) WHERE state = 'draft';
