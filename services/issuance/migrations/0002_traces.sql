-- A due row carries the trace of what made it due: what is done about it later belongs to that trace.
ALTER TABLE orders ADD COLUMN traceparent TEXT;
ALTER TABLE pins ADD COLUMN traceparent TEXT;
