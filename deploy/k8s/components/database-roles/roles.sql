-- Run once by the superuser in a service's new database: its roles and their limits, as on one machine
-- (deploy/local/postgres.py:add_database). Passwords come later, from Secrets.
DO $$
DECLARE
    service CONSTANT text := current_database();
    owner CONSTANT text := service || '_migrate';
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY[owner, service] || CASE service
        WHEN 'mailing' THEN ARRAY['mailing_print'] WHEN 'issuance' THEN ARRAY['issuance_feed'] ELSE '{}' END
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', role);
        END IF;
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', role, '30s');
        IF role = owner THEN
            EXECUTE format('ALTER DATABASE %I OWNER TO %I', service, owner);
            EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', role, '4s');
        ELSE
            EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', role, '5s');
            EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', role, '15s');
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', service, role);
        END IF;
    END LOOP;
    FOREACH role IN ARRAY ARRAY[service, 'postgres', 'template1']
    LOOP
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', role);
    END LOOP;
END
$$;
