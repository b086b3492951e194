-- The place of a token in the status list follows from its grant, or its client, and from how often
-- that place was given up.

ALTER TABLE oauth_grant ADD COLUMN status_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE oauth_client ADD COLUMN status_epoch BIGINT NOT NULL DEFAULT 0;
