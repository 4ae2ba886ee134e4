-- Details of a timeline row, one column a fact; `detail` has the same as text. Rows of earlier code have the text alone.
ALTER TABLE timeline
    ADD COLUMN server_name       TEXT,
    ADD COLUMN registered_number TEXT,
    ADD COLUMN serial            TEXT,
    ADD COLUMN amount_minor      BIGINT,
    ADD COLUMN template          TEXT,
    ADD COLUMN reason            TEXT;
