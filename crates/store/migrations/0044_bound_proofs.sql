-- Grows when more is found against a subject than before, and when it is another person or not looked after any more.
ALTER TABLE aml_subject ADD COLUMN findings BIGINT NOT NULL DEFAULT 0;
-- Whom the session that approved had screened and monitored, and how much was found until then.
ALTER TABLE account_proof ADD COLUMN subject_id TEXT;
ALTER TABLE account_proof ADD COLUMN findings BIGINT;
-- The passkey that was bound to the approval, once.
ALTER TABLE account_proof ADD COLUMN passkey_id TEXT;
