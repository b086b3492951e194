//! Numbers that tell whether rules about access are kept.

use std::time::Duration;

use portcullis_types::Timestamp;

use crate::{
    db::DbError,
    query::{Query, Source, sql},
};

/// A key that is older should have been replaced.
const OLD_KEY: Duration = Duration::from_secs(365 * 86_400);
/// An alert of high severity should be noted within this time.
const LATE_ALERT: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Accounts that have a role, of their own or of a group, and are not disabled.
    pub staff: i64,
    /// Of these, those with an app or a passkey besides the password.
    pub staff_with_factor: i64,
    /// Of these, administrators.
    pub admins: i64,
    /// API keys that work.
    pub keys: i64,
    /// Of these, those that never end.
    pub keys_without_end: i64,
    /// Of these, those that are older than a year.
    pub keys_old: i64,
    /// Alerts of the last 30 days.
    pub alerts: i64,
    /// Of these, those of high severity that nobody noted within a day.
    pub alerts_late: i64,
    /// Accounts whose password is hashed by another way than argon2id: imported, and not used since.
    pub foreign_hashes: i64,
    /// Accounts that are flagged and wait for review.
    pub flagged: i64,
    /// Requests of data subjects that are open.
    pub requests: i64,
    /// Of these, those whose deadline is over.
    pub requests_late: i64,
    /// Requests of data subjects that are kept and were closed after their deadline.
    pub requests_closed_late: i64,
}

macro_rules! staff {
    ($more:literal) => {
        concat!(
            "SELECT COUNT(*) FROM account a WHERE a.tenant = $1 AND a.disabled_at IS NULL AND \
             (a.roles <> '' OR EXISTS (SELECT 1 FROM group_member m JOIN account_group g \
             ON g.tenant = m.tenant AND g.id = m.group_id WHERE m.tenant = a.tenant \
             AND m.account_id = a.id AND g.roles <> ''))",
            $more
        )
    };
}

const STAFF: &str = staff!("");
const WITH_FACTOR: &str = staff!(
    " AND (EXISTS (SELECT 1 FROM totp t WHERE t.tenant = a.tenant AND t.account_id = a.id \
     AND t.confirmed_at IS NOT NULL) OR EXISTS (SELECT 1 FROM passkey p \
     WHERE p.tenant = a.tenant AND p.account_id = a.id))"
);
/// No group can have this role.
const ADMINS: &str = staff!(" AND ' ' || a.roles || ' ' LIKE '% admin %'");
const KEYS: &str = "SELECT COUNT(*) FROM api_key WHERE tenant = $1 AND revoked_at IS NULL \
                    AND (expires_at IS NULL OR expires_at > $2)";
const WITHOUT_END: &str = "SELECT COUNT(*) FROM api_key WHERE tenant = $1 \
                           AND revoked_at IS NULL AND expires_at IS NULL";
const OLD: &str = "SELECT COUNT(*) FROM api_key WHERE tenant = $1 AND revoked_at IS NULL \
                   AND created_at < $2 AND (expires_at IS NULL OR expires_at > $3)";
const ALERTS: &str = "SELECT COUNT(*) FROM alert WHERE tenant = $1 AND created_at >= $2";
const LATE: &str = "SELECT COUNT(*) FROM alert WHERE tenant = $1 AND severity >= 4 \
                    AND created_at >= $2 AND created_at < $3 \
                    AND (acknowledged_at IS NULL OR acknowledged_at - created_at > 86400000000)";
const FOREIGN: &str = "SELECT COUNT(*) FROM account WHERE tenant = $1 AND password_hash <> '' \
                       AND password_hash NOT LIKE '$argon2id$%'";
const FLAGGED: &str = "SELECT COUNT(*) FROM account WHERE tenant = $1 AND flagged_at IS NOT NULL";
const REQUESTS: &str = "SELECT COUNT(*) FROM subject_request WHERE tenant = $1 AND state = 'open'";
const REQUESTS_LATE: &str = "SELECT COUNT(*) FROM subject_request WHERE tenant = $1 \
                             AND state = 'open' AND due_at < $2";
const REQUESTS_CLOSED_LATE: &str = "SELECT COUNT(*) FROM subject_request WHERE tenant = $1 \
                                    AND state = 'closed' AND closed_at > due_at";

/// Reads them.
pub async fn facts(
    source: impl Source + Copy,
    tenant: &str,
    now: Timestamp,
) -> Result<Facts, DbError> {
    let count = async |query: Query, times: &[Timestamp]| -> Result<i64, DbError> {
        let asked = times.iter().fold(query.bind(tenant), |query, at| query.bind(*at));
        let row: Option<(i64,)> = asked.optional(source).await?;
        Ok(row.map_or(0, |(count,)| count))
    };
    let (old, month) = (now.minus(OLD_KEY), now.minus(MONTH));
    Ok(Facts {
        staff: count(sql(STAFF), &[]).await?,
        staff_with_factor: count(sql(WITH_FACTOR), &[]).await?,
        admins: count(sql(ADMINS), &[]).await?,
        keys: count(sql(KEYS), &[now]).await?,
        keys_without_end: count(sql(WITHOUT_END), &[]).await?,
        keys_old: count(sql(OLD), &[old, now]).await?,
        alerts: count(sql(ALERTS), &[month]).await?,
        alerts_late: count(sql(LATE), &[month, now.minus(LATE_ALERT)]).await?,
        foreign_hashes: count(sql(FOREIGN), &[]).await?,
        flagged: count(sql(FLAGGED), &[]).await?,
        requests: count(sql(REQUESTS), &[]).await?,
        requests_late: count(sql(REQUESTS_LATE), &[now]).await?,
        requests_closed_late: count(sql(REQUESTS_CLOSED_LATE), &[]).await?,
    })
}
