-- What a workflow decided last about the owner of an account.
CREATE TABLE account_proof (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    -- By which version of it.
    workflow_version BIGINT NOT NULL,
    -- Whether they were approved, or refused.
    is_proven BOOLEAN NOT NULL,
    session_id TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    -- When they had a try that came to nothing, if that was since.
    refused_at BIGINT,
    PRIMARY KEY (tenant, account_id, workflow_id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX account_proof_session ON account_proof (tenant, session_id);
-- What a login proved beside how somebody logged in, as `acr` names it.
ALTER TABLE oauth_grant ADD COLUMN acr TEXT NOT NULL DEFAULT '';
