-- The subscription's server names when the AR chose others in a draft; NULL if the renewal keeps them.
ALTER TABLE items ADD COLUMN present_server_names TEXT[];
