-- By what each session knew somebody, to see what it has in common with others.
CREATE TABLE idv_signal (
    tenant TEXT NOT NULL,
    -- A keyed digest of kind and value.
    digest TEXT NOT NULL,
    session_id TEXT NOT NULL,
    -- Whether the caller said so, or a check that passed. Others see nothing else.
    is_proven BOOLEAN NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, digest, session_id),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_signal_recent ON idv_signal (tenant, digest, seen_at);
CREATE INDEX idv_signal_session ON idv_signal (tenant, session_id);
CREATE INDEX idv_signal_seen ON idv_signal (seen_at);
