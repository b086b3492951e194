-- A key for what the log says of each person. It goes with the account.

CREATE TABLE subject_key (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, account_id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
