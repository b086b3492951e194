//! Keeping what was used of quotas across restarts and nodes.

use anyhow::Result;
use portcullis_cluster::QuotaRow;
use portcullis_store::quotas::{self, QuotaUse};
use portcullis_types::{DEFAULT_TENANT, Timestamp};

use crate::app::App;

/// Keys that are read at a start.
const MAX_KEYS: i64 = 100_000;
/// Rows of one transaction.
const BATCH: usize = 256;

/// What was used before the start.
pub async fn restore(app: &App) -> Result<()> {
    let now = app.clock.now();
    let rows = quotas::live(&app.identity.db, DEFAULT_TENANT, now, MAX_KEYS).await?;
    app.quotas.stored(&rows.iter().filter_map(in_memory).collect::<Vec<_>>());
    Ok(())
}

/// Stores what was used since the last time, and learns what others used.
pub async fn store(app: &App) -> Result<()> {
    let rows = app.quotas.changed(app.clock.now());
    for (place, batch) in rows.chunks(BATCH).enumerate() {
        let stored = app
            .identity
            .db
            .write(|tx| async move {
                let mut sums = Vec::with_capacity(batch.len());
                for row in batch {
                    sums.extend(quotas::add(&tx, DEFAULT_TENANT, &in_database(row)).await?);
                }
                Ok::<_, portcullis_store::DbError>(sums)
            })
            .await;
        match stored {
            Ok(sums) => {
                app.quotas.stored(&sums.iter().filter_map(in_memory).collect::<Vec<_>>());
            }
            Err(error) => {
                app.quotas.failed(&rows[place * BATCH..]);
                return Err(error.into());
            }
        }
    }
    Ok(())
}

fn in_database(row: &QuotaRow) -> QuotaUse {
    QuotaUse {
        key: format!("{:032x}", row.key),
        began: Timestamp::from_secs(row.began).micros(),
        expires_at: Timestamp::from_secs(row.ends).micros(),
        used: i64::try_from(row.used).unwrap_or(i64::MAX),
    }
}

fn in_memory(row: &QuotaUse) -> Option<QuotaRow> {
    Some(QuotaRow {
        key: u128::from_str_radix(&row.key, 16).ok()?,
        began: Timestamp::from_micros(row.began).secs(),
        ends: Timestamp::from_micros(row.expires_at).secs(),
        used: u64::try_from(row.used).ok()?,
    })
}
