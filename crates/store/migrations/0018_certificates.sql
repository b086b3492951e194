-- Certificate authorities: roots, and intermediates that sign for workloads.
CREATE TABLE authority (
    tenant TEXT NOT NULL,
    -- The subject key identifier, hexadecimal.
    id TEXT NOT NULL,
    -- The root that signed it, NULL for a root.
    root TEXT,
    certificate BYTEA NOT NULL,
    sealed_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    -- From when on it signs.
    active_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- From when on nothing of it is trusted.
    retired_at BIGINT,
    -- Whether its key was in other hands.
    compromised BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX authority_expires_at ON authority (expires_at);

-- Every certificate that was issued.
CREATE TABLE issued_certificate (
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    authority TEXT NOT NULL,
    spiffe_id TEXT,
    -- DNS names and addresses, separated by spaces.
    names TEXT NOT NULL,
    -- enrolment, renewal, token, operator or own.
    how TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    compromised BOOLEAN NOT NULL DEFAULT FALSE,
    -- How often it was used to get another.
    renewals BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, serial)
);
CREATE INDEX issued_certificate_expires_at ON issued_certificate (expires_at);
CREATE INDEX issued_certificate_spiffe_id ON issued_certificate (tenant, spiffe_id);
CREATE INDEX issued_certificate_authority ON issued_certificate (tenant, authority, expires_at);
CREATE INDEX issued_certificate_revoked ON issued_certificate (tenant, revoked_at)
    WHERE revoked_at IS NOT NULL;

-- Tokens that are good for one certificate.
CREATE TABLE enrolment (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    hint TEXT NOT NULL,
    spiffe_id TEXT NOT NULL,
    names TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    -- What it was used for: the certificate, SHA-256 of its key, and the chain in PEM for whoever
    -- asks again with the same key because the answer was lost.
    serial TEXT,
    key_hash BYTEA,
    chain TEXT,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX enrolment_hash ON enrolment (hash);
CREATE INDEX enrolment_expires_at ON enrolment (expires_at);

-- The newest revocation list of each authority.
CREATE TABLE revocation_list (
    tenant TEXT NOT NULL,
    authority TEXT NOT NULL,
    number BIGINT NOT NULL,
    -- What was known when it was made.
    basis TEXT NOT NULL,
    list BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, authority)
);
