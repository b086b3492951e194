-- Resource servers that tokens are encrypted for, and what a grant was narrowed to (RFC 8707).

CREATE TABLE resource_server (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    audience TEXT NOT NULL,
    name TEXT NOT NULL,
    jwks TEXT NOT NULL,
    alg TEXT NOT NULL,
    enc TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    CONSTRAINT resource_server_audience UNIQUE (tenant, audience)
);

ALTER TABLE oauth_grant ADD COLUMN resources TEXT;
