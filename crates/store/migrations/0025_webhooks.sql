-- How many messages there were about a session, so that each has a number.
ALTER TABLE idv_session ADD COLUMN messages BIGINT NOT NULL DEFAULT 0;
-- Receivers of messages about sessions.
CREATE TABLE idv_webhook (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Types with spaces between them. All, if there is none.
    types TEXT NOT NULL,
    -- The secret and the seed of the signing key, sealed, and those before them while they sign as well.
    keys BYTEA NOT NULL,
    previous_keys BYTEA NOT NULL,
    previous_until BIGINT,
    -- Empty, or why nothing is sent.
    disabled TEXT NOT NULL CHECK (disabled IN ('', 'operator', 'gone')),
    -- Attempts in a row that failed, and until when it is left alone for that.
    failures BIGINT NOT NULL,
    rests_until BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
-- What receivers are told, as it is on the wire.
CREATE TABLE idv_message (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Empty if it is about none.
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX idv_message_session ON idv_message (tenant, session_id);
CREATE INDEX idv_message_expires ON idv_message (expires_at);
-- What came of telling one receiver one message.
CREATE TABLE idv_delivery (
    tenant TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    due_at BIGINT NOT NULL,
    -- Attempts since it was made or asked for again.
    tries BIGINT NOT NULL,
    -- The last attempts, as JSON.
    attempts TEXT NOT NULL,
    PRIMARY KEY (tenant, webhook_id, message_id),
    FOREIGN KEY (tenant, webhook_id) REFERENCES idv_webhook (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, message_id) REFERENCES idv_message (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_delivery_due ON idv_delivery (tenant, webhook_id, status, due_at);
CREATE INDEX idv_delivery_session ON idv_delivery (tenant, webhook_id, session_id, sequence);
CREATE INDEX idv_delivery_message ON idv_delivery (tenant, message_id);
