-- Identities at other providers, and answers of theirs that were used.

CREATE TABLE upstream_identity (
    tenant TEXT NOT NULL,
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    account_id TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    CONSTRAINT upstream_identity_once PRIMARY KEY (tenant, provider, subject),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX upstream_identity_account ON upstream_identity (tenant, account_id);

CREATE TABLE upstream_answer (
    tenant TEXT NOT NULL,
    state_hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT upstream_answer_once PRIMARY KEY (tenant, state_hash)
);
CREATE INDEX upstream_answer_expiry ON upstream_answer (expires_at);
