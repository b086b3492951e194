-- Lists of one's own: what blocks, what is allowed, and what conditions may look at.
CREATE TABLE idv_list (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('block', 'allow', 'custom')),
    description TEXT NOT NULL,
    -- How many entries there are.
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    CONSTRAINT idv_list_name UNIQUE (tenant, name)
);
CREATE TABLE idv_list_entry (
    tenant TEXT NOT NULL,
    list_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- Keyed, of the kind and the value in its usual form, hexadecimal.
    digest TEXT NOT NULL,
    -- The value and what was noted with it, sealed.
    sealed BYTEA NOT NULL,
    added_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (tenant, list_id, id),
    CONSTRAINT idv_list_entry_value UNIQUE (tenant, list_id, digest),
    FOREIGN KEY (tenant, list_id) REFERENCES idv_list (tenant, id) ON DELETE CASCADE
);
CREATE INDEX idv_list_entry_digest ON idv_list_entry (tenant, digest);
CREATE INDEX idv_list_entry_expires ON idv_list_entry (expires_at);
