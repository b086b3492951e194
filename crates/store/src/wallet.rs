//! Credentials that people keep in wallets: what they are offered, and what was issued.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// Places in each status list.
pub const PLACES: u32 = 1 << 17;
/// Of these so many are taken, so that a place drawn at random is free as often as not.
const TAKEN_MAX: i64 = 1 << 16;

/// A row of `credential_offer`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OfferRow {
    /// SHA-256 of the pre-authorized code.
    pub code_hash: Vec<u8>,
    /// Whom it is for.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// The login in which it was made.
    pub session_id: String,
    /// A keyed digest of the transaction code.
    pub tx_code: Vec<u8>,
    /// How often a wrong one was given.
    pub tries: i64,
    /// How the person had proved who they are.
    pub methods: String,
    /// When.
    #[sqlx(try_from = "i64")]
    pub auth_time: Timestamp,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// Until when it works.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was used, if it was.
    pub consumed_at: Option<i64>,
    /// What came of it.
    pub grant_id: Option<String>,
}

/// Adds an offer.
pub async fn insert_offer(tx: &Tx, tenant: &str, offer: &OfferRow) -> Result<(), DbError> {
    sql("INSERT INTO credential_offer (tenant, code_hash, account_id, tx_code, tries, methods, auth_time, \
         created_at, expires_at, session_id) VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9)")
    .bind(tenant)
    .bind(offer.code_hash.as_slice())
    .bind(offer.account_id)
    .bind(offer.tx_code.as_slice())
    .bind(&offer.methods)
    .bind(offer.auth_time)
    .bind(offer.created_at)
    .bind(offer.expires_at)
    .bind(&offer.session_id)
    .execute(tx)
    .await
    .map(drop)
}

/// The offer with this code, whatever became of it.
pub async fn offer(
    source: impl Source,
    tenant: &str,
    code_hash: &[u8],
) -> Result<Option<OfferRow>, DbError> {
    sql("SELECT code_hash, account_id, session_id, tx_code, tries, methods, auth_time, created_at, expires_at, consumed_at, \
         grant_id FROM credential_offer WHERE tenant = $1 AND code_hash = $2")
    .bind(tenant)
    .bind(code_hash)
    .optional(source)
    .await
}

#[derive(sqlx::FromRow)]
struct Count {
    n: i64,
}

/// Offers to an account that were made after `since`.
pub async fn offers_since(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    since: Timestamp,
) -> Result<i64, DbError> {
    let count: Option<Count> = sql("SELECT COUNT(*) AS n FROM credential_offer \
                                    WHERE tenant = $1 AND account_id = $2 AND created_at > $3")
    .bind(tenant)
    .bind(account)
    .bind(since)
    .optional(source)
    .await?;
    Ok(count.map_or(0, |count| count.n))
}

/// Counts a transaction code that is tried; `false` if there were `tries_max` before.
pub async fn count_try(
    tx: &Tx,
    tenant: &str,
    code_hash: &[u8],
    tries_max: i64,
) -> Result<bool, DbError> {
    let counted = sql("UPDATE credential_offer SET tries = tries + 1 \
                       WHERE tenant = $1 AND code_hash = $2 AND tries < $3")
    .bind(tenant)
    .bind(code_hash)
    .bind(tries_max)
    .execute(tx)
    .await?;
    Ok(counted == 1)
}

/// Uses an offer; `false` if it was used before or has expired.
pub async fn consume_offer(
    tx: &Tx,
    tenant: &str,
    code_hash: &[u8],
    grant: Id<tags::Grant>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let used =
        sql("UPDATE credential_offer SET consumed_at = $4, grant_id = $3 WHERE tenant = $1 \
                    AND code_hash = $2 AND consumed_at IS NULL AND expires_at > $4")
        .bind(tenant)
        .bind(code_hash)
        .bind(grant)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(used == 1)
}

/// Voids the offers to an account that wait to be used: there is one at a time.
pub async fn void_offers(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE credential_offer SET expires_at = $3 WHERE tenant = $1 AND account_id = $2 \
         AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(account)
    .bind(now)
    .execute(tx)
    .await
    .map(drop)
}

/// A row of `issued_credential`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct IssuedRow {
    /// The list that says how it stands.
    pub list: i64,
    /// Its place there.
    pub place: i64,
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Credential>,
    /// Whom it is about.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// The session that found what it says.
    #[sqlx(try_from = "String")]
    pub session_id: Id<tags::IdvSession>,
    /// The wallet.
    pub client_id: String,
    /// What it was issued under.
    pub grant_id: String,
    /// When it was issued.
    #[sqlx(try_from = "i64")]
    pub issued_at: Timestamp,
    /// When it ends.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct List {
    list: i64,
}

/// Takes `n` places of the newest list that has room for them, or of a new one. Tells which list.
pub async fn take_places(tx: &Tx, tenant: &str, n: i64) -> Result<i64, DbError> {
    let taken: Option<List> =
        sql("UPDATE credential_list SET taken = taken + $2 WHERE tenant = $1 \
         AND list = (SELECT MAX(list) FROM credential_list WHERE tenant = $1) AND taken + $2 <= $3 \
         RETURNING list")
        .bind(tenant)
        .bind(n)
        .bind(TAKEN_MAX)
        .optional(tx)
        .await?;
    if let Some(taken) = taken {
        return Ok(taken.list);
    }
    let made: Option<List> = sql("INSERT INTO credential_list (tenant, list, taken) \
         SELECT $1, COALESCE(MAX(list), 0) + 1, $2 FROM credential_list WHERE tenant = $1 RETURNING list")
    .bind(tenant)
    .bind(n)
    .optional(tx)
    .await?;
    made.map(|made| made.list).ok_or(DbError::Stored("credential_list"))
}

/// Adds a credential; `false` if its place is taken.
pub async fn insert_issued(tx: &Tx, tenant: &str, row: &IssuedRow) -> Result<bool, DbError> {
    let added = sql("INSERT INTO issued_credential (tenant, list, place, id, account_id, session_id, client_id, \
                     issued_at, expires_at, grant_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                     ON CONFLICT (tenant, list, place) DO NOTHING")
    .bind(tenant)
    .bind(row.list)
    .bind(row.place)
    .bind(row.id)
    .bind(row.account_id)
    .bind(row.session_id)
    .bind(&row.client_id)
    .bind(row.issued_at)
    .bind(row.expires_at)
    .bind(&row.grant_id)
    .execute(tx)
    .await?;
    Ok(added == 1)
}

/// How a credential stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Its place.
    pub place: i64,
    /// When it was revoked, if it was.
    pub revoked_at: Option<i64>,
    /// By whose rules it is still known what it says; nothing if that was taken back, or was found anew, or the
    /// account is gone or disabled.
    pub trust_framework: Option<String>,
}

/// All of a list that have not ended. What is known of somebody is looked at each time, so that no way of taking it
/// back can be forgotten.
pub async fn standings(
    source: impl Source,
    tenant: &str,
    list: i64,
    now: Timestamp,
) -> Result<Vec<Standing>, DbError> {
    sql("SELECT c.place, c.revoked_at, (SELECT MAX(v.trust_framework) FROM verified_identity v \
         JOIN account a ON a.tenant = v.tenant AND a.id = v.account_id AND a.disabled_at IS NULL \
         WHERE v.tenant = c.tenant AND v.account_id = c.account_id AND v.session_id = c.session_id) \
         AS trust_framework FROM issued_credential c \
         WHERE c.tenant = $1 AND c.list = $2 AND c.expires_at > $3")
    .bind(tenant)
    .bind(list)
    .bind(now)
    .all(source)
    .await
}

/// How the credential in one place of a list stands, if it has not ended.
pub async fn standing(
    source: impl Source,
    tenant: &str,
    (list, place): (i64, i64),
    now: Timestamp,
) -> Result<Option<Standing>, DbError> {
    sql("SELECT c.place, c.revoked_at, (SELECT MAX(v.trust_framework) FROM verified_identity v \
         JOIN account a ON a.tenant = v.tenant AND a.id = v.account_id AND a.disabled_at IS NULL \
         WHERE v.tenant = c.tenant AND v.account_id = c.account_id AND v.session_id = c.session_id) \
         AS trust_framework FROM issued_credential c \
         WHERE c.tenant = $1 AND c.list = $2 AND c.place = $3 AND c.expires_at > $4")
    .bind(tenant)
    .bind(list)
    .bind(place)
    .bind(now)
    .optional(source)
    .await
}

/// Whether there is such a list.
pub async fn has_list(source: impl Source, tenant: &str, list: i64) -> Result<bool, DbError> {
    let found: Option<List> =
        sql("SELECT list FROM credential_list WHERE tenant = $1 AND list = $2")
            .bind(tenant)
            .bind(list)
            .optional(source)
            .await?;
    Ok(found.is_some())
}

/// Credentials about an account that have not ended, those that count before those that were revoked, the newest
/// first.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    (now, most): (Timestamp, i64),
) -> Result<Vec<IssuedRow>, DbError> {
    sql("SELECT list, place, id, account_id, session_id, client_id, grant_id, issued_at, expires_at, revoked_at \
         FROM issued_credential WHERE tenant = $1 AND account_id = $2 AND expires_at > $3 \
         ORDER BY CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT $4")
    .bind(tenant)
    .bind(account)
    .bind(now)
    .bind(most)
    .all(source)
    .await
}

/// Revokes a credential of an account; `false` if there is none that is good.
pub async fn revoke(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    id: Id<tags::Credential>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let revoked =
        sql("UPDATE issued_credential SET revoked_at = $4 WHERE tenant = $1 AND account_id = $2 \
                       AND id = $3 AND revoked_at IS NULL AND expires_at > $4")
        .bind(tenant)
        .bind(account)
        .bind(id)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(revoked == 1)
}

/// Of which credentials somebody takes back all.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Those that were issued under a grant.
    Grant(&'a str),
    /// Those of an account in a wallet.
    Wallet(Id<tags::User>, &'a str),
    /// Those in a wallet.
    Client(&'a str),
}

/// Revokes all of some credentials. Tells how many that were.
pub async fn revoke_all(tx: &Tx, tenant: &str, of: Of<'_>, now: Timestamp) -> Result<u64, DbError> {
    macro_rules! revoke {
        ($which:literal) => {
            sql(concat!(
                "UPDATE issued_credential SET revoked_at = $2 WHERE tenant = $1 AND revoked_at IS NULL \
                 AND expires_at > $2 AND ",
                $which
            ))
            .bind(tenant)
            .bind(now)
        };
    }
    match of {
        Of::Grant(grant) => revoke!("grant_id = $3").bind(grant),
        Of::Wallet(account, client) => {
            revoke!("account_id = $3 AND client_id = $4").bind(account).bind(client)
        }
        Of::Client(client) => revoke!("client_id = $3").bind(client),
    }
    .execute(tx)
    .await
}

/// How many credentials of an account a wallet holds that count, and how many were issued under a grant.
pub async fn held(
    source: impl Source,
    tenant: &str,
    (account, client, grant): (Id<tags::User>, &str, &str),
    now: Timestamp,
) -> Result<(i64, i64), DbError> {
    #[derive(sqlx::FromRow)]
    struct Held {
        live: i64,
        of_grant: i64,
    }
    let held: Option<Held> = sql("SELECT \
         COALESCE(SUM(CASE WHEN revoked_at IS NULL THEN 1 ELSE 0 END), 0) AS live, \
         COALESCE(SUM(CASE WHEN grant_id = $5 THEN 1 ELSE 0 END), 0) AS of_grant FROM issued_credential \
         WHERE tenant = $1 AND account_id = $2 AND client_id = $3 AND expires_at > $4")
    .bind(tenant)
    .bind(account)
    .bind(client)
    .bind(now)
    .bind(grant)
    .optional(source)
    .await?;
    Ok(held.map_or((0, 0), |held| (held.live, held.of_grant)))
}
