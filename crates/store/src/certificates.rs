//! Certificate authorities, what they issued, and what may be asked of them.

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `authority`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuthorityRow {
    /// The subject key identifier, hexadecimal.
    pub id: String,
    /// The root that signed it; none for a root.
    pub root: Option<String>,
    /// DER.
    pub certificate: Vec<u8>,
    /// The private key, sealed.
    pub sealed_key: Vec<u8>,
    /// When it was made.
    pub created_at: i64,
    /// From when on it signs.
    pub active_at: i64,
    /// When its certificate ends.
    pub expires_at: i64,
    /// From when on nothing of it is trusted, if that was said.
    pub retired_at: Option<i64>,
    /// Whether its key was in other hands.
    pub compromised: bool,
}

/// A row of `issued_certificate`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CertificateRow {
    /// The serial number, hexadecimal.
    pub serial: String,
    /// The authority that signed it.
    pub authority: String,
    /// The workload, if it is for one.
    pub spiffe_id: Option<String>,
    /// DNS names and addresses, separated by spaces.
    pub names: String,
    /// `enrolment`, `renewal`, `token`, `operator` or `own`.
    pub how: String,
    /// When it was issued.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// When it was revoked, if it was.
    pub revoked_at: Option<i64>,
    /// Whether its key was in other hands.
    pub compromised: bool,
}

/// A row of `enrolment`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EnrolmentRow {
    /// Its id.
    pub id: String,
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// Its last characters.
    pub hint: String,
    /// Whom the certificate is for.
    pub spiffe_id: String,
    /// DNS names and addresses, separated by spaces.
    pub names: String,
    /// When it was made.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// When it was used, if it was.
    pub used_at: Option<i64>,
}

/// What an enrolment was used for.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EnrolmentUse {
    /// The serial number of the certificate.
    pub serial: String,
    /// SHA-256 of its key.
    pub key_hash: Vec<u8>,
    /// Its chain, PEM.
    pub chain: String,
}

/// A row of `revocation_list`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RevocationListRow {
    /// Whose list it is.
    pub authority: String,
    /// It grows with every list.
    pub number: i64,
    /// What was known when it was made.
    pub basis: String,
    /// DER.
    pub list: Vec<u8>,
    /// When it was made.
    pub created_at: i64,
}

/// Tells whether authorities or revocations changed, for nodes that look every second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct State {
    authorities: i64,
    retired: i64,
    revocations: i64,
    revoked: i64,
}

macro_rules! certificate {
    ($rest:literal) => {
        concat!(
            "SELECT serial, authority, spiffe_id, names, how, created_at, expires_at, revoked_at, \
             compromised FROM issued_certificate WHERE tenant = $1 ",
            $rest
        )
    };
}

/// The state now.
pub async fn state(source: impl Source, tenant: &str) -> Result<State, DbError> {
    let row: Option<State> = sql("SELECT \
         (SELECT COUNT(*) FROM authority WHERE tenant = $1) AS authorities, \
         (SELECT COUNT(retired_at) FROM authority WHERE tenant = $1) AS retired, \
         (SELECT COUNT(*) FROM issued_certificate WHERE tenant = $1 AND revoked_at IS NOT NULL) \
         AS revocations, \
         (SELECT COALESCE(MAX(revoked_at), 0) FROM issued_certificate WHERE tenant = $1 \
         AND revoked_at IS NOT NULL) AS revoked")
    .bind(tenant)
    .optional(source)
    .await?;
    Ok(row.unwrap_or_default())
}

/// All authorities, the oldest first, roots before what they sign.
pub async fn authorities(source: impl Source, tenant: &str) -> Result<Vec<AuthorityRow>, DbError> {
    sql("SELECT id, root, certificate, sealed_key, created_at, active_at, expires_at, retired_at, \
         compromised FROM authority WHERE tenant = $1 \
         ORDER BY created_at, active_at, CASE WHEN root IS NULL THEN 0 ELSE 1 END, id")
    .bind(tenant)
    .all(source)
    .await
}

/// Adds an authority.
pub async fn insert_authority(tx: &Tx, tenant: &str, row: &AuthorityRow) -> Result<(), DbError> {
    sql(
        "INSERT INTO authority (tenant, id, root, certificate, sealed_key, created_at, active_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(&row.id)
    .bind(row.root.clone())
    .bind(row.certificate.clone())
    .bind(row.sealed_key.clone())
    .bind(row.created_at)
    .bind(row.active_at)
    .bind(row.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends the trust in an authority; `false` if it had ended before.
pub async fn retire_authority(
    tx: &Tx,
    tenant: &str,
    id: &str,
    now: Timestamp,
    compromised: bool,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE authority SET retired_at = $3, compromised = $4 \
                       WHERE tenant = $1 AND id = $2 AND retired_at IS NULL")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(compromised)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Whether anything that an authority issued is still good at `now`.
pub async fn has_live(
    source: impl Source,
    tenant: &str,
    authority: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row: Option<CertificateRow> =
        sql(certificate!("AND authority = $2 AND expires_at > $3 AND revoked_at IS NULL LIMIT 1"))
            .bind(tenant)
            .bind(authority)
            .bind(now)
            .optional(source)
            .await?;
    Ok(row.is_some())
}

/// Records a certificate.
pub async fn insert(tx: &Tx, tenant: &str, row: &CertificateRow) -> Result<(), DbError> {
    sql("INSERT INTO issued_certificate (tenant, serial, authority, spiffe_id, names, how, \
         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(&row.serial)
    .bind(&row.authority)
    .bind(row.spiffe_id.clone())
    .bind(&row.names)
    .bind(&row.how)
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The certificate with this serial number.
pub async fn by_serial(
    source: impl Source,
    tenant: &str,
    serial: &str,
) -> Result<Option<CertificateRow>, DbError> {
    sql(certificate!("AND serial = $2")).bind(tenant).bind(serial).optional(source).await
}

/// Those that are not over at `now`, the youngest first, at most `limit`; of one workload only, or
/// of all.
pub async fn live(
    source: impl Source,
    tenant: &str,
    spiffe_id: Option<&str>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<CertificateRow>, DbError> {
    sql(certificate!(
        "AND expires_at > $2 AND (CAST($3 AS TEXT) IS NULL OR spiffe_id = $3) \
         ORDER BY created_at DESC, serial LIMIT $4"
    ))
    .bind(tenant)
    .bind(now)
    .bind(spiffe_id)
    .bind(limit)
    .all(source)
    .await
}

/// A page of the same, after the certificate that was issued then and has this serial number.
pub async fn page(
    source: impl Source,
    tenant: &str,
    spiffe_id: Option<&str>,
    now: Timestamp,
    after: (i64, &str),
    limit: i64,
) -> Result<Vec<CertificateRow>, DbError> {
    sql(certificate!(
        "AND expires_at > $2 AND (CAST($3 AS TEXT) IS NULL OR spiffe_id = $3) \
         AND (created_at < $4 OR created_at = $4 AND serial < $5) \
         ORDER BY created_at DESC, serial DESC LIMIT $6"
    ))
    .bind(tenant)
    .bind(now)
    .bind(spiffe_id)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .all(source)
    .await
}

/// What was revoked and is not over at `now`; of one authority only, or of all.
pub async fn revoked(
    source: impl Source,
    tenant: &str,
    authority: Option<&str>,
    now: Timestamp,
) -> Result<Vec<CertificateRow>, DbError> {
    sql(certificate!(
        "AND revoked_at IS NOT NULL AND expires_at > $2 \
         AND (CAST($3 AS TEXT) IS NULL OR authority = $3) ORDER BY serial"
    ))
    .bind(tenant)
    .bind(now)
    .bind(authority)
    .all(source)
    .await
}

/// Revokes a certificate; `false` if it was revoked before.
pub async fn revoke(
    tx: &Tx,
    tenant: &str,
    serial: &str,
    now: Timestamp,
    compromised: bool,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE issued_certificate SET revoked_at = $3, compromised = $4 \
                       WHERE tenant = $1 AND serial = $2 AND revoked_at IS NULL")
    .bind(tenant)
    .bind(serial)
    .bind(now)
    .bind(compromised)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Revokes every certificate of a workload that is not over, and tells how many there were.
pub async fn revoke_all(
    tx: &Tx,
    tenant: &str,
    spiffe_id: &str,
    now: Timestamp,
    compromised: bool,
) -> Result<u64, DbError> {
    sql("UPDATE issued_certificate SET revoked_at = $3, compromised = $4 \
         WHERE tenant = $1 AND spiffe_id = $2 AND expires_at > $3 AND revoked_at IS NULL")
    .bind(tenant)
    .bind(spiffe_id)
    .bind(now)
    .bind(compromised)
    .execute(tx)
    .await
}

/// Counts a renewal by a certificate; `false` if it is over or revoked, or renewed `most` times.
pub async fn count_renewal(
    tx: &Tx,
    tenant: &str,
    serial: &str,
    now: Timestamp,
    most: i64,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE issued_certificate SET renewals = renewals + 1 \
                       WHERE tenant = $1 AND serial = $2 AND expires_at > $3 \
                       AND revoked_at IS NULL AND renewals < $4")
    .bind(tenant)
    .bind(serial)
    .bind(now)
    .bind(most)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Adds an enrolment.
pub async fn insert_enrolment(tx: &Tx, tenant: &str, row: &EnrolmentRow) -> Result<(), DbError> {
    sql(
        "INSERT INTO enrolment (tenant, id, hash, hint, spiffe_id, names, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(&row.id)
    .bind(row.hash.clone())
    .bind(&row.hint)
    .bind(&row.spiffe_id)
    .bind(&row.names)
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The enrolment with this hash of its token.
pub async fn enrolment(
    source: impl Source,
    tenant: &str,
    hash: &[u8],
) -> Result<Option<EnrolmentRow>, DbError> {
    sql("SELECT id, hash, hint, spiffe_id, names, created_at, expires_at, used_at FROM enrolment \
         WHERE tenant = $1 AND hash = $2")
    .bind(tenant)
    .bind(hash)
    .optional(source)
    .await
}

/// Uses an enrolment up for a certificate; `false` if it was used before or is over.
pub async fn consume_enrolment(
    tx: &Tx,
    tenant: &str,
    id: &str,
    made: &EnrolmentUse,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE enrolment SET used_at = $3, serial = $4, key_hash = $5, chain = $6 \
                       WHERE tenant = $1 AND id = $2 AND used_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(&made.serial)
    .bind(made.key_hash.clone())
    .bind(&made.chain)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// What an enrolment was used for, unless its certificate was revoked.
pub async fn enrolment_use(
    source: impl Source,
    tenant: &str,
    id: &str,
) -> Result<Option<EnrolmentUse>, DbError> {
    sql("SELECT e.serial, e.key_hash, e.chain FROM enrolment e JOIN issued_certificate c \
         ON c.tenant = e.tenant AND c.serial = e.serial \
         WHERE e.tenant = $1 AND e.id = $2 AND c.revoked_at IS NULL")
    .bind(tenant)
    .bind(id)
    .optional(source)
    .await
}

/// Ends every unused enrolment of a workload, and tells how many there were.
pub async fn end_enrolments(
    tx: &Tx,
    tenant: &str,
    spiffe_id: &str,
    now: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE enrolment SET expires_at = $3 \
         WHERE tenant = $1 AND spiffe_id = $2 AND used_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(spiffe_id)
    .bind(now)
    .execute(tx)
    .await
}

/// The newest revocation list of an authority.
pub async fn revocation_list(
    source: impl Source,
    tenant: &str,
    authority: &str,
) -> Result<Option<RevocationListRow>, DbError> {
    sql("SELECT authority, number, basis, list, created_at FROM revocation_list \
         WHERE tenant = $1 AND authority = $2")
    .bind(tenant)
    .bind(authority)
    .optional(source)
    .await
}

/// Puts a list in the place of the one before; `false` if there is a newer one.
pub async fn put_revocation_list(
    tx: &Tx,
    tenant: &str,
    row: &RevocationListRow,
) -> Result<bool, DbError> {
    let changed = sql("INSERT INTO revocation_list (tenant, authority, number, basis, list, \
                       created_at) VALUES ($1, $2, $3, $4, $5, $6) \
                       ON CONFLICT (tenant, authority) DO UPDATE SET number = excluded.number, \
                       basis = excluded.basis, list = excluded.list, \
                       created_at = excluded.created_at \
                       WHERE revocation_list.number < excluded.number")
    .bind(tenant)
    .bind(&row.authority)
    .bind(row.number)
    .bind(&row.basis)
    .bind(row.list.clone())
    .bind(row.created_at)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
