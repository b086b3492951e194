-- Requests to show credentials, and what was shown.
CREATE TABLE presentation (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- The step that waits for it, if one does.
    session_id TEXT,
    task BIGINT NOT NULL,
    -- Whom the wallet shows them to, and in which request.
    audience TEXT NOT NULL,
    nonce TEXT NOT NULL,
    query TEXT NOT NULL,
    -- The signed request, as wallets fetch it.
    request TEXT NOT NULL,
    -- Answers that were looked at.
    tries BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    answered_at BIGINT,
    -- Why the last answer was refused.
    refused TEXT,
    -- What was shown, sealed, and empty as long as nothing was.
    sealed BYTEA NOT NULL,
    -- When the row goes.
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX presentation_session ON presentation (tenant, session_id, task);
CREATE INDEX presentation_ends ON presentation (ends_at);
