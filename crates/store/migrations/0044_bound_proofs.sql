-- Grows when more is found against a subject than before, and when it is another person or not looked after any more.
ALTER TABLE aml_subject ADD COLUMN findings BIGINT NOT NULL DEFAULT 0;
-- Whom the session that approved had screened and monitored, and how much was found until then.
ALTER TABLE account_proof ADD COLUMN subject_id TEXT;
ALTER TABLE account_proof ADD COLUMN findings BIGINT;
-- The passkey by which the person was logged in who was approved.
ALTER TABLE account_proof ADD COLUMN passkey_id TEXT;
-- A keyed digest of when the person was born, where an approval was bound to a passkey. It stays when the approval ends,
-- and goes with the session that told it.
ALTER TABLE account_proof ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE account_proof ADD COLUMN person_session TEXT;
CREATE INDEX account_proof_person ON account_proof (tenant, person_session);
-- By which passkey somebody was logged in who began what was decided, and by which who was refused. NULL if somebody else
-- began it.
ALTER TABLE account_proof ADD COLUMN decided_with TEXT;
ALTER TABLE account_proof ADD COLUMN refused_with TEXT;
-- By which passkey the owner of the account was logged in who began it themselves, empty if by none.
ALTER TABLE idv_session ADD COLUMN passkey_id TEXT;
