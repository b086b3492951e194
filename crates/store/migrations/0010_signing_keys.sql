-- Signing keys know what they are for, and are found by the name that tokens give them.

DROP TABLE signing_key;
CREATE TABLE signing_key (
    tenant TEXT NOT NULL,
    kid TEXT NOT NULL,
    key_use TEXT NOT NULL,
    alg TEXT NOT NULL,
    pkcs8 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (tenant, kid)
);
CREATE INDEX signing_key_expiry ON signing_key (expires_at);
