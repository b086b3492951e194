-- A grant is worth something only when its code was redeemed.

ALTER TABLE oauth_grant ADD COLUMN redeemed_at BIGINT;
UPDATE oauth_grant SET redeemed_at = created_at;
CREATE INDEX oauth_grant_client ON oauth_grant (tenant, account_id, client_id);
