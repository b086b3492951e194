-- Accounts that a detector flagged wait here for somebody to look at them.
CREATE TABLE review_case (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'in_review', 'closed')),
    reason TEXT NOT NULL,
    severity BIGINT NOT NULL,
    alerts TEXT NOT NULL,
    assignee TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    resolution TEXT NOT NULL DEFAULT '',
    version BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    closed_at BIGINT,
    closed_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, account_id) REFERENCES account (tenant, id) ON DELETE CASCADE
);
-- What is found while a case is open belongs to it.
CREATE UNIQUE INDEX review_case_of_account ON review_case (tenant, account_id) WHERE state <> 'closed';
CREATE INDEX review_case_by_state ON review_case (tenant, state, id);
-- Those that are flagged already.
INSERT INTO review_case (tenant, id, account_id, state, reason, severity, alerts, version, opened_at, updated_at)
SELECT tenant, 'cas_' || substr(id, 5), id, 'open', COALESCE(flag_reason, ''), 4, '[]', 1, flagged_at, flagged_at
FROM account WHERE flagged_at IS NOT NULL;
