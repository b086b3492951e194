-- From where people went through sessions on our page.
CREATE TABLE idv_seen (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    -- A keyed digest of the address, so that it is there once.
    digest TEXT NOT NULL,
    -- Address and browser, sealed with the key of the session.
    sealed BYTEA NOT NULL,
    seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session_id, digest),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
