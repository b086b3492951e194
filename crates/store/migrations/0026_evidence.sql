-- What a decision rests on, as it was when it was made.
CREATE TABLE idv_evidence (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    -- The entry of the audit log that has the decision and the digest of this.
    event_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    digest TEXT NOT NULL,
    -- A salt and the text, sealed with the key of the session.
    sealed BYTEA NOT NULL,
    -- The entry, the proof that it is in its log, and the key of that log, as soon as somebody has them.
    entry TEXT,
    proof TEXT,
    log_key TEXT,
    PRIMARY KEY (tenant, session_id),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_evidence_unproven ON idv_evidence (tenant, at) WHERE proof IS NULL;
