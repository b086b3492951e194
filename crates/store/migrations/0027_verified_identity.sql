-- Whose account a session is about, if it is about one.
ALTER TABLE idv_session ADD COLUMN account_id TEXT;
CREATE INDEX idv_session_account ON idv_session (tenant, account_id, id);
-- Who people are by their documents, as a workflow found it, one for each trust framework.
CREATE TABLE verified_identity (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    trust_framework TEXT NOT NULL,
    session_id TEXT NOT NULL,
    verified_at BIGINT NOT NULL,
    -- What is told of it, sealed.
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, account_id, trust_framework),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX verified_identity_session ON verified_identity (tenant, session_id);
