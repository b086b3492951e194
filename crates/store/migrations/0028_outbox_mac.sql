-- By whom an event was put here: whoever can write the database alone has no key for it.
ALTER TABLE event_outbox ADD COLUMN mac BYTEA;
