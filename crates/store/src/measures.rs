//! What happened in each minute, by all nodes together: a row a minute, however much happens.

use portcullis_types::Timestamp;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use crate::{
    db::{DbError, Tx},
    query::{Source, sql},
};

/// Upper bounds of the classes of latency, in microseconds: from what the gate alone needs to what nobody waits for.
/// The class after them has none.
pub const LATENCY_BOUNDS: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];
/// What is counted.
const MEASURES: usize = 8;
const COLUMNS: usize = MEASURES + LATENCY_BOUNDS.len() + 1;

/// What is counted besides latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// People who logged in, by any way.
    Logins,
    /// Those who tried and did not.
    LoginFailures,
    /// Access tokens that were issued, refreshed ones among them.
    Tokens,
    /// Requests that were answered.
    Requests,
    /// Of these, what the gate refused.
    Refused,
    /// Of these, what came from a blocked address.
    Blocked,
    /// Requests that were answered with 5xx.
    ServerErrors,
    /// Findings of detectors and rules.
    Alerts,
}

impl Measure {
    /// All of them, in the order of their columns.
    pub const ALL: [Self; MEASURES] = [
        Self::Logins,
        Self::LoginFailures,
        Self::Tokens,
        Self::Requests,
        Self::Refused,
        Self::Blocked,
        Self::ServerErrors,
        Self::Alerts,
    ];
}

/// Sums over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([i64; COLUMNS]);

impl Counts {
    /// What was counted.
    pub fn get(&self, measure: Measure) -> i64 {
        self.0[measure as usize]
    }

    /// One more of it.
    pub fn count(&mut self, measure: Measure) {
        self.0[measure as usize] += 1;
    }

    /// One more request that took so long.
    pub fn took(&mut self, micros: u64) {
        self.0[MEASURES + LATENCY_BOUNDS.partition_point(|bound| *bound < micros)] += 1;
    }

    /// How many requests took so long, by class.
    pub fn latency(&self) -> &[i64] {
        &self.0[MEASURES..]
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }
}

/// What happened in some minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The first of them, since 1970.
    pub minute: i64,
    /// What happened.
    pub counts: Counts,
}

impl<'r, R: Row> FromRow<'r, R> for Bucket
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let mut counts = Counts::default();
        for (place, count) in counts.0.iter_mut().enumerate() {
            *count = row.try_get(place + 1)?;
        }
        Ok(Self { minute: row.try_get(0)?, counts })
    }
}

macro_rules! statements {
    ($($place:literal $column:literal)*) => {
        const ADD: &str = concat!(
            "INSERT INTO measure (tenant, minute", $(", ", $column,)*
            ") VALUES ($1, $2", $(", $", $place,)*
            ") ON CONFLICT (tenant, minute) DO UPDATE SET minute = excluded.minute",
            $(", ", $column, " = measure.", $column, " + excluded.", $column,)*
        );
        const READ: &str = concat!(
            "SELECT minute - minute % $4", $(", CAST(SUM(", $column, ") AS BIGINT)",)*
            " FROM measure WHERE tenant = $1 AND minute >= $2 AND minute < $3 \
             GROUP BY 1 ORDER BY 1",
        );
    };
}
statements! {
    3 "logins" 4 "login_failures" 5 "tokens" 6 "requests" 7 "refused" 8 "blocked"
    9 "server_errors" 10 "alerts" 11 "us_500" 12 "us_1000" 13 "us_2500" 14 "us_5000"
    15 "us_10000" 16 "us_25000" 17 "us_50000" 18 "us_100000" 19 "us_250000" 20 "us_500000"
    21 "us_1000000" 22 "us_2500000" 23 "us_10000000" 24 "us_more"
}

/// The minute of a moment.
pub fn minute_of(at: Timestamp) -> i64 {
    at.secs().div_euclid(60)
}

/// Adds to what is known of a minute.
pub async fn add(tx: &Tx, tenant: &str, more: &Bucket) -> Result<(), DbError> {
    let begun = sql(ADD).bind(tenant).bind(more.minute);
    more.counts.0.iter().fold(begun, |query, count| query.bind(*count)).execute(tx).await?;
    Ok(())
}

/// What happened from one minute to another, in steps of so many minutes (at least one). Steps in which nothing
/// happened are left out; they begin at multiples of their length since 1970.
pub async fn read(
    source: impl Source,
    tenant: &str,
    (from, until): (i64, i64),
    step: i64,
) -> Result<Vec<Bucket>, DbError> {
    sql(READ).bind(tenant).bind(from).bind(until).bind(step.max(1)).all(source).await
}

/// The first minute of which anything is known.
pub async fn first(source: impl Source, tenant: &str) -> Result<Option<i64>, DbError> {
    let first: Option<(Option<i64>,)> = sql("SELECT MIN(minute) FROM measure WHERE tenant = $1")
        .bind(tenant)
        .optional(source)
        .await?;
    Ok(first.and_then(|(minute,)| minute))
}
