-- Everything belongs to a tenant. Times are microseconds since 1970. Ids, JSON and lists are text.

CREATE TABLE sealed_secret (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE signing_key (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    alg TEXT NOT NULL,
    pkcs8 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE account (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    username TEXT NOT NULL,
    email TEXT NOT NULL,
    display_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    roles TEXT NOT NULL,
    disabled_at BIGINT,
    flagged_at BIGINT,
    flag_reason TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    CONSTRAINT account_username UNIQUE (tenant, username),
    CONSTRAINT account_email UNIQUE (tenant, email)
);
CREATE INDEX account_flagged ON account (tenant, flagged_at);

CREATE TABLE pending_registration (
    tenant TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    username TEXT NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, token_hash)
);
CREATE INDEX pending_registration_expiry ON pending_registration (expires_at);

CREATE TABLE password_reset (
    tenant TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    account_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, token_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX password_reset_expiry ON password_reset (expires_at);
CREATE INDEX password_reset_account ON password_reset (tenant, account_id);

CREATE TABLE email_change (
    tenant TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    account_id TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, token_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX email_change_expiry ON email_change (expires_at);
CREATE INDEX email_change_account ON email_change (tenant, account_id);

CREATE TABLE login_session (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    account_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    addr TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    CONSTRAINT login_session_token UNIQUE (tenant, token_hash),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX login_session_account ON login_session (tenant, account_id, ended_at);
CREATE INDEX login_session_expiry ON login_session (expires_at);

CREATE TABLE oauth_client (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    auth_method TEXT NOT NULL,
    first_party BOOLEAN NOT NULL,
    redirect_uris TEXT NOT NULL,
    post_logout_redirect_uris TEXT NOT NULL,
    grant_types TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audiences TEXT NOT NULL,
    jwks TEXT,
    token_alg TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE client_secret (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    hint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);
CREATE INDEX client_secret_client ON client_secret (tenant, client_id);

CREATE TABLE client_assertion (
    tenant TEXT NOT NULL,
    client_id TEXT NOT NULL,
    jti TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT client_assertion_once PRIMARY KEY (tenant, client_id, jti)
);
CREATE INDEX client_assertion_expiry ON client_assertion (expires_at);

CREATE TABLE consent (
    tenant TEXT NOT NULL,
    account_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, account_id, client_id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);

CREATE TABLE oauth_grant (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    auth_time BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoke_reason TEXT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, client_id) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);
CREATE INDEX oauth_grant_account ON oauth_grant (tenant, account_id);
CREATE INDEX oauth_grant_session ON oauth_grant (tenant, session_id);
CREATE INDEX oauth_grant_expiry ON oauth_grant (expires_at);

CREATE TABLE authorization_code (
    tenant TEXT NOT NULL,
    code_hash BYTEA NOT NULL,
    grant_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    nonce TEXT,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, code_hash),
    FOREIGN KEY (tenant, grant_id) REFERENCES oauth_grant (tenant, id) ON DELETE CASCADE
);
CREATE INDEX authorization_code_expiry ON authorization_code (expires_at);

CREATE TABLE refresh_token (
    tenant TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    grant_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    PRIMARY KEY (tenant, token_hash),
    FOREIGN KEY (tenant, grant_id) REFERENCES oauth_grant (tenant, id) ON DELETE CASCADE
);
CREATE INDEX refresh_token_grant ON refresh_token (tenant, grant_id);
CREATE INDEX refresh_token_expiry ON refresh_token (expires_at);

CREATE TABLE revocation (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    issued_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, value)
);
CREATE INDEX revocation_expiry ON revocation (expires_at);

CREATE TABLE api_key (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    hash BYTEA NOT NULL,
    hint TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant, id),
    CONSTRAINT api_key_hash UNIQUE (tenant, hash)
);

CREATE TABLE block (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    addr TEXT NOT NULL,
    scope TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    lifted_at BIGINT,
    lifted_by TEXT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX block_until ON block (until_at);

CREATE TABLE alert (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    rule TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    addr TEXT,
    accounts TEXT NOT NULL,
    evidence TEXT NOT NULL,
    block_id TEXT,
    created_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE event_outbox (
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    leaf BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, event_id)
);

CREATE TABLE mail_outbox (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX mail_outbox_next ON mail_outbox (next_at);
