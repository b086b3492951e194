-- What happened in a minute, by all nodes together, for charts. Minutes are those since 1970-01-01T00:00Z. The last
-- fourteen columns are how many requests took up to so many microseconds and longer than the column before.
CREATE TABLE measure (
    tenant TEXT NOT NULL,
    minute BIGINT NOT NULL,
    logins BIGINT NOT NULL,
    login_failures BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    server_errors BIGINT NOT NULL,
    alerts BIGINT NOT NULL,
    us_500 BIGINT NOT NULL,
    us_1000 BIGINT NOT NULL,
    us_2500 BIGINT NOT NULL,
    us_5000 BIGINT NOT NULL,
    us_10000 BIGINT NOT NULL,
    us_25000 BIGINT NOT NULL,
    us_50000 BIGINT NOT NULL,
    us_100000 BIGINT NOT NULL,
    us_250000 BIGINT NOT NULL,
    us_500000 BIGINT NOT NULL,
    us_1000000 BIGINT NOT NULL,
    us_2500000 BIGINT NOT NULL,
    us_10000000 BIGINT NOT NULL,
    us_more BIGINT NOT NULL,
    PRIMARY KEY (tenant, minute)
);
