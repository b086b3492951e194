-- Pictures of people and their documents, for hours.
CREATE TABLE idv_picture (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    -- The step that it was given for.
    node TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('selfie', 'portrait', 'document')),
    -- What was found when it was looked at: a picture counts with that and with nothing else.
    report TEXT NOT NULL,
    -- A JPEG, sealed with the key of the session.
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, session_id, node),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_picture_expires ON idv_picture (expires_at);
-- Faces that are searched for others: of sessions whose people agreed to it, and those on lists.
CREATE TABLE face_template (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Counts up, so that every node knows which it has not seen.
    number BIGINT NOT NULL,
    -- SHA-256 of the model that made it.
    model TEXT NOT NULL,
    session_id TEXT,
    list_id TEXT,
    entry_id TEXT,
    -- Whether a chip and a camera prove whose it is.
    is_proven BOOLEAN NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (tenant, id),
    CONSTRAINT face_template_session UNIQUE (tenant, session_id, model),
    CONSTRAINT face_template_entry UNIQUE (tenant, list_id, entry_id, model),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, list_id, entry_id) REFERENCES idv_list_entry (tenant, list_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX face_template_number ON face_template (tenant, number);
-- Faces of one model by their numbers, and those of every other one without looking at all.
CREATE INDEX face_template_model ON face_template (tenant, model, number);
CREATE INDEX face_template_expires ON face_template (expires_at);
CREATE TABLE face_count (
    tenant TEXT NOT NULL PRIMARY KEY,
    -- The last number that was given.
    number BIGINT NOT NULL
);
