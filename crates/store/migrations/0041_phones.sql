-- Which codes went out in the last hours: how, to whom and for whom, by keyed digests. It does not go with a session, or
-- whoever erases sessions could have as many sent as they like.
CREATE TABLE idv_code_sent (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- `email` or `phone`.
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    -- From where somebody asked for it on our page, empty if nobody did.
    line TEXT NOT NULL,
    -- Whether the address was known of the person.
    is_known BOOLEAN NOT NULL,
    sent_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX idv_code_sent_address ON idv_code_sent (tenant, address, sent_at);
CREATE INDEX idv_code_sent_line ON idv_code_sent (tenant, line, sent_at);
CREATE INDEX idv_code_sent_channel ON idv_code_sent (tenant, channel, sent_at);
CREATE INDEX idv_code_sent_expires ON idv_code_sent (expires_at);
DROP INDEX idv_code_address;
ALTER TABLE idv_code DROP COLUMN address;
-- Mails, or text messages, and the session that one is about: it goes with that.
ALTER TABLE mail_outbox ADD COLUMN channel TEXT NOT NULL DEFAULT 'mail';
ALTER TABLE mail_outbox ADD COLUMN session_id TEXT NOT NULL DEFAULT '';
CREATE INDEX mail_outbox_session ON mail_outbox (tenant, session_id) WHERE session_id <> '';
