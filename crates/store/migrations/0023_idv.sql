-- Who signs those who sign documents (certificates of authorities), and what they revoked.
CREATE TABLE idv_trust (
    tenant TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('certificate', 'crl')),
    country TEXT NOT NULL,
    subject TEXT NOT NULL,
    valid_from BIGINT NOT NULL,
    valid_until BIGINT,
    der BYTEA NOT NULL,
    source TEXT NOT NULL,
    imported_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, fingerprint)
);
-- Counts the changes of the table above, so that each node knows when to read it again.
CREATE TABLE idv_trust_version (
    tenant TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
-- Challenges for chips, each for one answer, and those of others that were answered. What is kept is a digest.
CREATE TABLE idv_challenge (
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX idv_challenge_expires ON idv_challenge (expires_at);
