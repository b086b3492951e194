-- Workflows, with the graph that somebody is drawing.
CREATE TABLE idv_workflow (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    draft TEXT NOT NULL,
    -- The version that new sessions are begun with, and the highest number of one.
    current_version BIGINT,
    latest_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    CONSTRAINT idv_workflow_name UNIQUE (tenant, name)
);
-- What was published. A row never changes, since sessions are pinned to it.
CREATE TABLE idv_workflow_version (
    tenant TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    graph TEXT NOT NULL,
    digest TEXT NOT NULL,
    note TEXT NOT NULL,
    published_by TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, workflow_id, version),
    FOREIGN KEY (tenant, workflow_id) REFERENCES idv_workflow (tenant, id)
);
-- Sessions. What they are is in their events, the columns are for finding them.
CREATE TABLE idv_session (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    workflow_version BIGINT NOT NULL,
    -- How whoever began it calls the person.
    reference TEXT NOT NULL,
    status TEXT NOT NULL,
    -- How many events there are.
    version BIGINT NOT NULL,
    -- The key of everything sealed here and in the events, itself sealed. Without it they say nothing.
    key BYTEA,
    given BYTEA NOT NULL,
    -- What the queues of reviews show.
    queue TEXT NOT NULL,
    in_review_since BIGINT,
    review_due BIGINT,
    -- Until when the person has time.
    deadline BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- When the rows go.
    expires_at BIGINT,
    erased_at BIGINT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, workflow_id, workflow_version)
        REFERENCES idv_workflow_version (tenant, workflow_id, version)
);
CREATE INDEX idv_session_deadline ON idv_session (deadline);
CREATE INDEX idv_session_expires ON idv_session (expires_at);
CREATE INDEX idv_session_reference ON idv_session (tenant, reference, id);
CREATE INDEX idv_session_status ON idv_session (tenant, status, id);
CREATE INDEX idv_session_workflow ON idv_session (tenant, workflow_id, id);
-- What happened to a session. Rows are only ever added.
CREATE TABLE idv_session_event (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, session_id, number),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
-- What has to be brought about for a session, from a time on.
CREATE TABLE idv_effect (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('perform', 'timer')),
    due_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (tenant, session_id, task, kind),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_effect_due ON idv_effect (due_at);
-- Requests that must not be done twice, by the digest of their key.
CREATE TABLE idv_idempotency (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    session_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idv_idempotency_expires ON idv_idempotency (expires_at);
