-- What an alert is worth, and what was done about it.
ALTER TABLE alert ADD COLUMN severity BIGINT NOT NULL DEFAULT 4;
ALTER TABLE alert ADD COLUMN technique TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN answer TEXT NOT NULL DEFAULT 'block';
-- Until then a login with a password alone is not enough.
ALTER TABLE account ADD COLUMN step_up_until BIGINT;
-- Devices that came since then are new.
ALTER TABLE account ADD COLUMN step_up_from BIGINT;
