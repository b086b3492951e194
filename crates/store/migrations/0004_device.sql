-- Device authorization (RFC 8628).

CREATE TABLE device_request (
    tenant TEXT NOT NULL,
    device_hash BYTEA NOT NULL,
    user_hash BYTEA NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    interval_secs BIGINT NOT NULL,
    next_poll_at BIGINT NOT NULL,
    decided_at BIGINT,
    grant_id TEXT,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, device_hash),
    CONSTRAINT device_request_user_code UNIQUE (tenant, user_hash),
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, grant_id) REFERENCES oauth_grant (tenant, id) ON DELETE CASCADE
);
CREATE INDEX device_request_expiry ON device_request (expires_at);
CREATE INDEX device_request_client ON device_request (tenant, client_id);
CREATE INDEX device_request_grant ON device_request (tenant, grant_id);
