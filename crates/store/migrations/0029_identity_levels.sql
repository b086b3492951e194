-- One for each trust framework and level, sealed with the key of its session.
DROP TABLE verified_identity;
CREATE TABLE verified_identity (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    trust_framework TEXT NOT NULL,
    -- Empty if the framework has none.
    assurance_level TEXT NOT NULL,
    session_id TEXT NOT NULL,
    verified_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, account_id, trust_framework, assurance_level),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX verified_identity_session ON verified_identity (tenant, session_id);
