-- What people ask about their own data, and until when it must be answered.
CREATE TABLE subject_request (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- access, rectification, erasure, restriction, portability, objection or automated_decision.
    kind TEXT NOT NULL,
    -- Whose account it is about, NULL for somebody without one.
    account_id TEXT,
    -- Who asked, in words, and emptied when the account goes.
    requester TEXT NOT NULL,
    -- What was written down about it, emptied when the account goes.
    note TEXT NOT NULL,
    -- open or closed.
    state TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- Why it takes longer, empty unless the deadline was moved.
    extended_because TEXT NOT NULL DEFAULT '',
    -- fulfilled, refused or withdrawn, empty until it is closed.
    outcome TEXT NOT NULL DEFAULT '',
    closed_at BIGINT,
    closed_by TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX subject_request_due ON subject_request (tenant, state, due_at, id);
CREATE INDEX subject_request_account ON subject_request (tenant, account_id);
CREATE INDEX subject_request_closed ON subject_request (closed_at);
-- The newest certificates, page by page.
CREATE INDEX issued_certificate_created ON issued_certificate (tenant, created_at, serial);
