-- A partition that cannot be written must not hold up the others, so the relay takes a fair share of each lane: a lane is
-- a topic and its partition's number, modulo 12 when there are more.

-- Kafka's default partitioner: murmur2 of the key's bytes, without its sign.
CREATE FUNCTION kafka_lane(key TEXT) RETURNS INTEGER LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    bytes  CONSTANT BYTEA := convert_to(key, 'UTF8');
    size   CONSTANT INTEGER := length(bytes);
    m      CONSTANT BIGINT := 1540483477;
    mask   CONSTANT BIGINT := 4294967295;
    h      BIGINT := 2538058380 # size;
    k      BIGINT;
    at     INTEGER := 0;
BEGIN
    WHILE at + 4 <= size LOOP
        k := get_byte(bytes, at)::BIGINT | (get_byte(bytes, at + 1)::BIGINT << 8)
             | (get_byte(bytes, at + 2)::BIGINT << 16) | (get_byte(bytes, at + 3)::BIGINT << 24);
        k := (k * m) & mask;
        k := ((k # (k >> 24)) * m) & mask;
        h := ((h * m) & mask) # k;
        at := at + 4;
    END LOOP;
    IF at < size THEN
        FOR i IN at .. size - 1 LOOP
            h := h # (get_byte(bytes, i)::BIGINT << (8 * (i - at)));
        END LOOP;
        h := (h * m) & mask;
    END IF;
    h := ((h # (h >> 13)) * m) & mask;
    h := h # (h >> 15);
    RETURN (h & 2147483647) % 12;
END
$$;

CREATE INDEX outbox_unsent_of_lane ON outbox (topic, kafka_lane(key), id) WHERE sent_at IS NULL;
