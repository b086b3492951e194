-- Clients that registered themselves (RFC 7591), and logouts that clients are to be told of.

CREATE TABLE client_registration (
    tenant TEXT NOT NULL,
    client_id TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    unused_until BIGINT,
    PRIMARY KEY (tenant, client_id),
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);
CREATE INDEX client_registration_unused ON client_registration (unused_until);

CREATE TABLE logout_notice (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    PRIMARY KEY (tenant, session_id, client_id),
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);
CREATE INDEX logout_notice_next ON logout_notice (next_at);
CREATE INDEX logout_notice_client ON logout_notice (tenant, client_id);
