-- A key for what the log says of people in each month. One that is destroyed leaves its row without a
-- key, so that none is made again for the same month.

CREATE TABLE month_key (
    tenant TEXT NOT NULL,
    month TEXT NOT NULL,
    sealed BYTEA,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    PRIMARY KEY (tenant, month)
);
