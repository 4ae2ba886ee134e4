-- Reminders of a certificate's end within the paid period have its serial number; those of the period's end have none.
ALTER TABLE reminders ADD COLUMN serial TEXT NOT NULL DEFAULT '', DROP CONSTRAINT reminders_pkey,
    ADD PRIMARY KEY (srn, paid_until, serial, days_before);
