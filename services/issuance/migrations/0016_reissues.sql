-- The order of a reissue has no PINs. `receipt` of its renewal is application's entitlement instead of payment's receipt.
ALTER TABLE orders ADD COLUMN reissue BOOLEAN NOT NULL DEFAULT false;
