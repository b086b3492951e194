-- What was used of quotas by day or month. The key is a keyed hash of whom it is for.
CREATE TABLE quota (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    began BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (tenant, key, began)
);
CREATE INDEX quota_expires_at ON quota (expires_at);
