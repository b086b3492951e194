-- Groups, invitations, the language of a person, and indices for a million accounts.

ALTER TABLE account ADD COLUMN locale TEXT NOT NULL DEFAULT '';

DROP INDEX account_flagged;
CREATE INDEX account_flagged ON account (tenant, id) WHERE flagged_at IS NOT NULL;
CREATE INDEX account_roles ON account (tenant, id) WHERE roles <> '';
-- PostgreSQL only: its other indices sort as a language does, which no prefix follows.
CREATE INDEX account_username_prefix ON account (tenant, username text_pattern_ops);
-- PostgreSQL only
CREATE INDEX account_email_prefix ON account (tenant, email text_pattern_ops);

CREATE TABLE account_group (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    roles TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    CONSTRAINT account_group_name UNIQUE (tenant, name)
);

CREATE TABLE group_member (
    tenant TEXT NOT NULL,
    group_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, group_id, account_id),
    FOREIGN KEY (tenant, group_id) REFERENCES account_group (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX group_member_account ON group_member (tenant, account_id);

CREATE TABLE invitation (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    email TEXT NOT NULL,
    roles TEXT NOT NULL,
    group_ids TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, id),
    CONSTRAINT invitation_token UNIQUE (tenant, token_hash)
);
CREATE INDEX invitation_email ON invitation (tenant, email);
CREATE INDEX invitation_expiry ON invitation (expires_at);
