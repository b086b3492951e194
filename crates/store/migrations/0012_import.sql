-- How far the import of a file has come.

CREATE TABLE user_import (
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    lines BIGINT NOT NULL,
    imported BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX user_import_updated ON user_import (updated_at);
