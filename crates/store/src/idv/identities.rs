//! Who people are by their documents.

use portcullis_types::{Entropy, Id, Timestamp, tags};
use serde_json::Value;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};
use crate::{SealError, Sealer};

/// A row of `verified_identity`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct IdentityRow {
    /// Whose account it is.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// By whose rules they were verified.
    pub trust_framework: String,
    /// In which session.
    #[sqlx(try_from = "String")]
    pub session_id: Id<tags::IdvSession>,
    /// When that was decided.
    #[sqlx(try_from = "i64")]
    pub verified_at: Timestamp,
    /// What is told of it, sealed.
    pub sealed: Vec<u8>,
}

impl IdentityRow {
    /// What the value is sealed for.
    fn purpose(account: Id<tags::User>, trust_framework: &str) -> String {
        format!("verified_identity:{account}:{trust_framework}")
    }

    /// A row of an element of `verified_claims`.
    pub fn of(
        (account, session): (Id<tags::User>, Id<tags::IdvSession>),
        (trust_framework, at): (&str, Timestamp),
        verified: &Value,
        (sealer, entropy): (&Sealer, &dyn Entropy),
    ) -> Result<Self, SealError> {
        let text = verified.to_string();
        let purpose = Self::purpose(account, trust_framework);
        Ok(Self {
            account_id: account,
            trust_framework: trust_framework.to_owned(),
            session_id: session,
            verified_at: at,
            sealed: sealer.seal(&purpose, text.as_bytes(), entropy)?,
        })
    }

    /// An element of `verified_claims` (OpenID Identity Assurance Schema Definition 1.0), with everything there
    /// is.
    pub fn open(&self, sealer: &Sealer) -> Result<Value, SealError> {
        let purpose = Self::purpose(self.account_id, &self.trust_framework);
        let text = sealer.open(&purpose, &self.sealed)?;
        serde_json::from_slice(&text).map_err(|_| SealError::Open)
    }
}

/// Puts it in the place of what was there of the same trust framework.
pub async fn put(tx: &Tx, tenant: &str, row: &IdentityRow) -> Result<(), DbError> {
    sql("INSERT INTO verified_identity (tenant, account_id, trust_framework, session_id, verified_at, sealed) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (tenant, account_id, trust_framework) DO UPDATE SET \
         session_id = excluded.session_id, verified_at = excluded.verified_at, sealed = excluded.sealed")
    .bind(tenant)
    .bind(row.account_id)
    .bind(&row.trust_framework)
    .bind(row.session_id)
    .bind(row.verified_at)
    .bind(row.sealed.as_slice())
    .execute(tx)
    .await
    .map(drop)
}

/// All of an account, by trust framework.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<IdentityRow>, DbError> {
    sql("SELECT account_id, trust_framework, session_id, verified_at, sealed FROM verified_identity \
         WHERE tenant = $1 AND account_id = $2 ORDER BY trust_framework")
    .bind(tenant)
    .bind(account)
    .all(source)
    .await
}

/// Takes all of an account away, and tells how many there were.
pub async fn revoke(tx: &Tx, tenant: &str, account: Id<tags::User>) -> Result<u64, DbError> {
    sql("DELETE FROM verified_identity WHERE tenant = $1 AND account_id = $2")
        .bind(tenant)
        .bind(account)
        .execute(tx)
        .await
}
