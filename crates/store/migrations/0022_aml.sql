-- Whom customers of ours screen. What is known of them is sealed.
CREATE TABLE aml_subject (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    reference TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    terms TEXT NOT NULL,
    policy TEXT NOT NULL,
    monitored BOOLEAN NOT NULL,
    recheck BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    screened_at BIGINT NOT NULL,
    screened_with TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX aml_subject_reference ON aml_subject (tenant, reference);
CREATE INDEX aml_subject_recheck ON aml_subject (tenant, id) WHERE recheck;
CREATE INDEX aml_subject_screened ON aml_subject (screened_at);
-- Who on a list a subject may be, and what people found out about it. Reasons and notes are sealed.
CREATE TABLE aml_hit (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    list TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    list_version TEXT NOT NULL,
    score BIGINT NOT NULL,
    entity TEXT NOT NULL,
    reasons BYTEA NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('Unreviewed', 'Confirmed Match', 'False Positive', 'Inconclusive')),
    note BYTEA NOT NULL,
    decided_by TEXT NOT NULL DEFAULT '',
    decided_at BIGINT,
    allowed_until BIGINT,
    proposed_state TEXT NOT NULL DEFAULT '',
    proposed_note BYTEA NOT NULL,
    proposed_by TEXT NOT NULL DEFAULT '',
    proposed_at BIGINT,
    proposed_until BIGINT,
    version BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    gone_at BIGINT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject_id) REFERENCES aml_subject (tenant, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX aml_hit_of_subject ON aml_hit (tenant, subject_id, list, entity_id);
CREATE INDEX aml_hit_by_state ON aml_hit (tenant, state, id) WHERE gone_at IS NULL;
CREATE INDEX aml_hit_allowed ON aml_hit (tenant, allowed_until) WHERE allowed_until IS NOT NULL;
-- How far monitored subjects have been compared with each list.
CREATE TABLE aml_list (
    tenant TEXT NOT NULL,
    list TEXT NOT NULL,
    digest TEXT NOT NULL,
    basis TEXT NOT NULL,
    list_version TEXT NOT NULL,
    target_digest TEXT NOT NULL,
    target_basis TEXT NOT NULL,
    target_version TEXT NOT NULL,
    done_to TEXT NOT NULL,
    since BIGINT NOT NULL,
    retired_at BIGINT,
    reinstated_at BIGINT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, list)
);
