-- Prices are dated data of the operator. Every list has a price of each product, and never changes once it is loaded.
CREATE TABLE prices (
    version          TEXT NOT NULL CHECK (version ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$'),
    effective_from   TIMESTAMPTZ NOT NULL,
    product          TEXT NOT NULL CHECK (product IN ('standard', 'wildcard', 'multi-domain')),
    base_minor       BIGINT NOT NULL CHECK (base_minor > 0),
    additional_minor BIGINT NOT NULL CHECK (additional_minor >= 0),
    PRIMARY KEY (version, product),
    UNIQUE (effective_from, product)
);
-- The notice in force since 2020-01-01, Hong Kong time. It has no fee for Multi-domain, which the operator sets.
INSERT INTO prices (version, effective_from, product, base_minor, additional_minor) VALUES
    ('2020-01-01', '2019-12-31T16:00:00Z', 'standard', 250000, 0),
    ('2020-01-01', '2019-12-31T16:00:00Z', 'wildcard', 826500, 47500),
    ('2020-01-01', '2019-12-31T16:00:00Z', 'multi-domain', 250000, 125000);
