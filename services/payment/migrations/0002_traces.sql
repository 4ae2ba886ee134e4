-- A due row carries the trace of what made it due: what is done about it later belongs to that trace.
ALTER TABLE payments ADD COLUMN traceparent TEXT;
ALTER TABLE refunds ADD COLUMN traceparent TEXT;
