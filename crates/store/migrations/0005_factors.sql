-- Further ways to prove who one is: one-time codes, recovery codes, passkeys, mail.

ALTER TABLE login_session ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';
ALTER TABLE login_session ADD COLUMN authenticated_at BIGINT NOT NULL DEFAULT 0;
UPDATE login_session SET authenticated_at = created_at;
ALTER TABLE oauth_grant ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';

CREATE TABLE totp (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    secret BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    last_step BIGINT NOT NULL,
    PRIMARY KEY (tenant, account_id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);

CREATE TABLE recovery_code (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    code_hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, account_id, code_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);

CREATE TABLE passkey (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    credential_id BYTEA NOT NULL,
    name TEXT NOT NULL,
    credential TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (tenant, id),
    CONSTRAINT passkey_credential UNIQUE (tenant, credential_id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX passkey_account ON passkey (tenant, account_id);

-- Challenges that were answered. Those that wait are sealed and with the browser.
CREATE TABLE passkey_answer (
    tenant TEXT NOT NULL,
    challenge_hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT passkey_answer_once PRIMARY KEY (tenant, challenge_hash)
);
CREATE INDEX passkey_answer_expiry ON passkey_answer (expires_at);

-- A login whose first factor is proven and whose second is awaited.
CREATE TABLE pending_login (
    tenant TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    account_id TEXT NOT NULL,
    methods TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, token_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX pending_login_expiry ON pending_login (expires_at);
CREATE INDEX pending_login_account ON pending_login (tenant, account_id);

-- A login by mail: the link opens it anywhere, the code only in the browser that asked.
CREATE TABLE mail_login (
    tenant TEXT NOT NULL,
    link_hash BYTEA NOT NULL,
    browser_hash BYTEA NOT NULL,
    code_hash BYTEA NOT NULL,
    account_id TEXT,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, link_hash),
    CONSTRAINT mail_login_browser UNIQUE (tenant, browser_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX mail_login_expiry ON mail_login (expires_at);
CREATE INDEX mail_login_account ON mail_login (tenant, account_id);
