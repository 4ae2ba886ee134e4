-- How many PINs a server name has had names the next one; void or not.
CREATE INDEX pins_of_item ON pins (item_id, server_name);
