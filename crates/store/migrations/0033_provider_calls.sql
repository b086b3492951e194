-- Effects have a third kind: somebody else is asked.
CREATE TABLE idv_effect_of_three (
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('perform', 'timer', 'call')),
    -- Who is asked, of a call.
    provider TEXT NOT NULL DEFAULT '',
    due_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (tenant, session_id, task, kind),
    FOREIGN KEY (tenant, session_id) REFERENCES idv_session (tenant, id) ON DELETE CASCADE
);
INSERT INTO idv_effect_of_three (tenant, session_id, task, kind, due_at, tries)
    SELECT tenant, session_id, task, kind, due_at, tries FROM idv_effect;
DROP TABLE idv_effect;
ALTER TABLE idv_effect_of_three RENAME TO idv_effect;
CREATE INDEX idv_effect_due ON idv_effect (due_at);
