-- A letter whose PIN was voided gives way to the new one, wherever it is: what is on paper by then stays recorded.
ALTER TABLE pin_envelopes ADD COLUMN replaced_by UUID;
DROP INDEX pin_envelopes_one_live;
CREATE UNIQUE INDEX pin_envelopes_one_live ON pin_envelopes (item_id, server_name)
    WHERE state NOT IN ('returned', 'dropped') AND replaced_by IS NULL;
