-- A new PIN Envelope names the one it replaces.
CREATE INDEX pins_voided ON pins (item_id, server_name) WHERE state = 'void';
