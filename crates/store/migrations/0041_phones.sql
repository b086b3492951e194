-- Codes go out as mails and as text messages, each counted by itself.
ALTER TABLE idv_code ADD COLUMN channel TEXT NOT NULL DEFAULT 'email';
CREATE INDEX idv_code_sent ON idv_code (tenant, channel, sent_at);
-- Mails, or text messages.
ALTER TABLE mail_outbox ADD COLUMN channel TEXT NOT NULL DEFAULT 'mail';
