-- A timer is leased for each try, longer each time: one that fails delays no other.
ALTER TABLE timers
    ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN leased_until TIMESTAMPTZ;
