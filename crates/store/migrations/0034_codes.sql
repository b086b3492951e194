-- Codes that were sent to addresses, each for a step that waits for it.
CREATE TABLE idv_code (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task BIGINT NOT NULL,
    -- Which one it is for this task, from 1.
    send BIGINT NOT NULL,
    -- The address, sealed with the key of the session.
    sealed BYTEA NOT NULL,
    -- A keyed digest of it, by which is counted what one address is sent.
    address TEXT NOT NULL,
    -- A keyed digest.
    code BYTEA NOT NULL,
    tries BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session_id, task, send),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_code_address ON idv_code (tenant, address, sent_at);
