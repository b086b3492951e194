use data_encoding::HEXLOWER;

use crate::{
    db::{Db, DbError, Tx},
    query::{per, sql},
    token_hash,
};

/// Every migration, oldest first. One that has run is never edited.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_begin.sql")),
    (2, include_str!("../migrations/0002_pushed_and_bound.sql")),
    (3, include_str!("../migrations/0003_claims.sql")),
    (4, include_str!("../migrations/0004_device.sql")),
    (5, include_str!("../migrations/0005_factors.sql")),
    (6, include_str!("../migrations/0006_resources.sql")),
    (7, include_str!("../migrations/0007_registration.sql")),
    (8, include_str!("../migrations/0008_redeemed.sql")),
    (9, include_str!("../migrations/0009_status_places.sql")),
    (10, include_str!("../migrations/0010_signing_keys.sql")),
    (11, include_str!("../migrations/0011_groups.sql")),
    (12, include_str!("../migrations/0012_import.sql")),
    (13, include_str!("../migrations/0013_password_epoch.sql")),
    (14, include_str!("../migrations/0014_upstream.sql")),
    (15, include_str!("../migrations/0015_subject_keys.sql")),
    (16, include_str!("../migrations/0016_attested_passkeys.sql")),
    (17, include_str!("../migrations/0017_quotas.sql")),
    (18, include_str!("../migrations/0018_certificates.sql")),
    (19, include_str!("../migrations/0019_findings.sql")),
    (20, include_str!("../migrations/0020_cases.sql")),
    (21, include_str!("../migrations/0021_month_keys.sql")),
    (22, include_str!("../migrations/0022_aml.sql")),
    (23, include_str!("../migrations/0023_idv.sql")),
    (24, include_str!("../migrations/0024_workflows.sql")),
    (25, include_str!("../migrations/0025_webhooks.sql")),
    (26, include_str!("../migrations/0026_evidence.sql")),
    (27, include_str!("../migrations/0027_verified_identity.sql")),
    (28, include_str!("../migrations/0028_outbox_mac.sql")),
    (29, include_str!("../migrations/0029_identity_levels.sql")),
    (30, include_str!("../migrations/0030_review_cases.sql")),
    (31, include_str!("../migrations/0031_lists.sql")),
    (32, include_str!("../migrations/0032_account_proof.sql")),
    (33, include_str!("../migrations/0033_provider_calls.sql")),
    (34, include_str!("../migrations/0034_codes.sql")),
    (35, include_str!("../migrations/0035_wallet.sql")),
    (36, include_str!("../migrations/0036_presentations.sql")),
    (37, include_str!("../migrations/0037_seen.sql")),
    (38, include_str!("../migrations/0038_signals.sql")),
    (39, include_str!("../migrations/0039_faces.sql")),
    (40, include_str!("../migrations/0040_devices.sql")),
    (41, include_str!("../migrations/0041_phones.sql")),
    (42, include_str!("../migrations/0042_measures.sql")),
    (43, include_str!("../migrations/0043_subject_requests.sql")),
    (44, include_str!("../migrations/0044_bound_proofs.sql")),
];

/// In the comment of a statement that SQLite does not need.
const POSTGRES_ONLY: &str = "-- PostgreSQL only";

/// Held by the one process that migrates a PostgreSQL database.
const ADVISORY_LOCK: i64 = 0x706f_7274_6375_6c6c;

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    checksum: String,
}

/// How often a start that met another one tries again.
const ATTEMPTS: u32 = 4;

/// Brings the schema up to date. Nodes may start at once: whoever waited for the lock sees the
/// database as it was before, collides with what the other made, and looks again.
pub(crate) async fn run(db: &Db) -> Result<(), DbError> {
    let mut attempt = 1;
    loop {
        match migrate(db).await {
            Err(error) if attempt < ATTEMPTS && exists_already(&error) => attempt += 1,
            result => return result,
        }
    }
}

/// PostgreSQL: duplicate table, or a duplicate key in its catalogue or in ours.
fn exists_already(error: &DbError) -> bool {
    let DbError::Sqlx(sqlx::Error::Database(error)) = error else { return false };
    matches!(error.code().as_deref(), Some("42P07" | "23505"))
}

/// Every migration that has not run, in one transaction.
async fn migrate(db: &Db) -> Result<(), DbError> {
    db.write(|tx| async move {
        per("SELECT $1", "SELECT pg_advisory_xact_lock($1)")
            .bind(ADVISORY_LOCK)
            .execute(&tx)
            .await?;
        sql("CREATE TABLE IF NOT EXISTS schema_migration \
             (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL)")
        .execute(&tx)
        .await?;
        let applied: Vec<Applied> =
            sql("SELECT version, checksum FROM schema_migration ORDER BY version").all(&tx).await?;
        if applied.len() > MIGRATIONS.len() {
            return Err(DbError::Schema("it was written by a newer version".into()));
        }
        for (place, (version, text)) in MIGRATIONS.iter().enumerate() {
            let checksum = HEXLOWER.encode(&token_hash(text));
            match applied.get(place) {
                Some(done) if done.version == *version && done.checksum == checksum => {}
                Some(_) => {
                    return Err(DbError::Schema(format!(
                        "migration {version} is not the one that ran"
                    )));
                }
                None => apply(&tx, *version, text, &checksum).await?,
            }
        }
        Ok(())
    })
    .await
}

async fn apply(tx: &Tx, version: i64, text: &'static str, checksum: &str) -> Result<(), DbError> {
    for statement in text.split(';').filter(|statement| !statement.trim().is_empty()) {
        let only_postgres = statement.contains(POSTGRES_ONLY);
        per(if only_postgres { "SELECT 1" } else { statement }, statement).execute(tx).await?;
    }
    sql("INSERT INTO schema_migration (version, checksum) VALUES ($1, $2)")
        .bind(version)
        .bind(checksum)
        .execute(tx)
        .await?;
    Ok(())
}
