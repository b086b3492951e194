//! Who people are by their documents.

use portcullis_types::{Id, Timestamp, tags};
use serde_json::Value;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};
use crate::{SealError, Sealer};

/// Whose identity it is, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityOf {
    /// The account.
    pub account: Id<tags::User>,
    /// The session that verified it.
    pub session: Id<tags::IdvSession>,
    /// By whose rules.
    pub trust_framework: String,
    /// To which of their levels; empty if they have none.
    pub assurance_level: String,
}

impl IdentityOf {
    /// What an element of `verified_claims` is sealed for, with the key of its session.
    pub fn purpose(&self) -> String {
        let Self { account, session, trust_framework, assurance_level } = self;
        format!("verified_identity:{account}:{session}:{trust_framework}:{assurance_level}")
    }
}

/// A row of `verified_identity`, with the key of its session.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct IdentityRow {
    #[sqlx(try_from = "String")]
    account_id: Id<tags::User>,
    trust_framework: String,
    assurance_level: String,
    #[sqlx(try_from = "String")]
    session_id: Id<tags::IdvSession>,
    /// When that was decided.
    #[sqlx(try_from = "i64")]
    pub verified_at: Timestamp,
    /// What is told of it, sealed.
    pub sealed: Vec<u8>,
    key: Option<Vec<u8>>,
}

impl IdentityRow {
    /// Whose it is.
    pub fn of(&self) -> IdentityOf {
        IdentityOf {
            account: self.account_id,
            session: self.session_id,
            trust_framework: self.trust_framework.clone(),
            assurance_level: self.assurance_level.clone(),
        }
    }

    /// An element of `verified_claims` (OpenID Identity Assurance Schema Definition 1.0), with everything there
    /// is.
    pub fn open(&self, sealer: &Sealer) -> Result<Value, SealError> {
        let key = self.key.as_deref().ok_or(SealError::Open)?;
        let key = sealer.open(&format!("idv_session:{}:key", self.session_id), key)?;
        let text = Sealer::new(&key)?.open(&self.of().purpose(), &self.sealed)?;
        serde_json::from_slice(&text).map_err(|_| SealError::Open)
    }
}

/// Puts it in the place of what was there by the same rules and of the same level.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    of: &IdentityOf,
    verified_at: Timestamp,
    sealed: &[u8],
) -> Result<(), DbError> {
    sql("INSERT INTO verified_identity (tenant, account_id, trust_framework, assurance_level, session_id, \
         verified_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (tenant, account_id, trust_framework, assurance_level) DO UPDATE SET \
         session_id = excluded.session_id, verified_at = excluded.verified_at, sealed = excluded.sealed")
    .bind(tenant)
    .bind(of.account)
    .bind(&of.trust_framework)
    .bind(&of.assurance_level)
    .bind(of.session)
    .bind(verified_at)
    .bind(sealed)
    .execute(tx)
    .await
    .map(drop)
}

/// All of an account, the newest first.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<IdentityRow>, DbError> {
    sql("SELECT v.account_id, v.trust_framework, v.assurance_level, v.session_id, v.verified_at, v.sealed, \
         s.key FROM verified_identity v JOIN idv_session s ON s.tenant = v.tenant AND s.id = v.session_id \
         WHERE v.tenant = $1 AND v.account_id = $2 \
         ORDER BY v.verified_at DESC, v.trust_framework, v.assurance_level")
    .bind(tenant)
    .bind(account)
    .all(source)
    .await
}

/// Takes all of an account away, and the account from the sessions about it that are going on. Tells how much
/// that was.
pub async fn revoke(tx: &Tx, tenant: &str, account: Id<tags::User>) -> Result<u64, DbError> {
    let mut changed = 0;
    for text in [
        "DELETE FROM verified_identity WHERE tenant = $1 AND account_id = $2",
        "DELETE FROM account_proof WHERE tenant = $1 AND account_id = $2",
        "UPDATE idv_session SET account_id = NULL WHERE tenant = $1 AND account_id = $2 AND ended_at IS NULL",
    ] {
        changed += sql(text).bind(tenant).bind(account).execute(tx).await?;
    }
    Ok(changed)
}
