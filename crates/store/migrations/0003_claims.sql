-- Claims that were asked for by name (OpenID Connect Core, section 5.5).

ALTER TABLE oauth_grant ADD COLUMN claims TEXT;
