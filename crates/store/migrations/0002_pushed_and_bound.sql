-- Pushed authorization requests (RFC 9126) and tokens bound to keys (RFC 9449).

ALTER TABLE oauth_client ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE authorization_code ADD COLUMN dpop_jkt TEXT;
ALTER TABLE refresh_token ADD COLUMN dpop_jkt TEXT;

CREATE TABLE pushed_request (
    tenant TEXT NOT NULL,
    uri_hash BYTEA NOT NULL,
    client_id TEXT NOT NULL,
    params TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    begun_at BIGINT,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, uri_hash),
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);
CREATE INDEX pushed_request_expiry ON pushed_request (expires_at);
CREATE INDEX pushed_request_client ON pushed_request (tenant, client_id);
