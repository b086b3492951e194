-- Offers of credentials, each to the owner of an account.
CREATE TABLE credential_offer (
    tenant TEXT NOT NULL,
    -- SHA-256 of the pre-authorized code.
    code_hash BYTEA NOT NULL,
    account_id TEXT NOT NULL,
    -- The login in which it was made: it ends with it.
    session_id TEXT NOT NULL,
    -- A keyed digest of the transaction code, which goes another way.
    tx_code BYTEA NOT NULL,
    -- How often a wrong one was given.
    tries BIGINT NOT NULL,
    -- How the person had proved who they are, and when.
    methods TEXT NOT NULL,
    auth_time BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    -- What came of it.
    grant_id TEXT,
    PRIMARY KEY (tenant, code_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX credential_offer_account ON credential_offer (tenant, account_id, created_at);
CREATE INDEX credential_offer_expiry ON credential_offer (expires_at);
-- How many places of each status list are taken.
CREATE TABLE credential_list (
    tenant TEXT NOT NULL,
    list BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    PRIMARY KEY (tenant, list)
);
-- Credentials that were issued. They outlive the account, since a place that is free says that all is well.
CREATE TABLE issued_credential (
    tenant TEXT NOT NULL,
    list BIGINT NOT NULL,
    -- Its place in the list.
    place BIGINT NOT NULL,
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    -- The session that found what it says.
    session_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    -- What it was issued under.
    grant_id TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    CONSTRAINT issued_credential_place PRIMARY KEY (tenant, list, place)
);
CREATE UNIQUE INDEX issued_credential_id ON issued_credential (tenant, id);
CREATE INDEX issued_credential_account ON issued_credential (tenant, account_id, id);
CREATE INDEX issued_credential_grant ON issued_credential (tenant, grant_id);
CREATE INDEX issued_credential_client ON issued_credential (tenant, client_id);
CREATE INDEX issued_credential_expiry ON issued_credential (expires_at);
