-- The repository is searched by server name (as it was ordered) and by SRN.
CREATE INDEX orders_server_names ON orders USING gin (server_names);
CREATE INDEX orders_of_srn ON orders (srn);
