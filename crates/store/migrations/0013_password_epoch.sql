-- How often a password was changed. The hash is no measure of it: it is made anew when its cost
-- changes, although the password stays.

ALTER TABLE account ADD COLUMN password_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pending_login ADD COLUMN password_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pending_login DROP COLUMN password_hash;
