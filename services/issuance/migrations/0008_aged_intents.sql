-- An intent that grew too old to be signed is replaced by one with another serial number: of an item's intents, one at
-- most is no tombstone. A certificate that was signed from a tombstone is kept, and is not the item's.
CREATE INDEX intents_of_item ON intents (item_id);
CREATE UNIQUE INDEX intents_alive ON intents (item_id) WHERE state <> 'tombstone';
ALTER TABLE intents DROP CONSTRAINT intents_pkey;
ALTER TABLE certificates ADD COLUMN given_out BOOLEAN NOT NULL DEFAULT true;
CREATE UNIQUE INDEX certificates_given_out ON certificates (item_id) WHERE given_out;
ALTER TABLE certificates DROP CONSTRAINT certificates_item_id_key;
