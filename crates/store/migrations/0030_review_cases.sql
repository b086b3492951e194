-- Who looks after a review.
ALTER TABLE idv_session ADD COLUMN assignee TEXT;
CREATE INDEX idv_session_assignee ON idv_session (tenant, assignee, id);
-- What people wrote down about a session, sealed with its key.
CREATE TABLE idv_note (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    author TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, session_id, number),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
