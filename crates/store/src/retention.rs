//! Every table whose rows expire has a rule here; a test holds the list against the schema.

use std::time::Duration;

use portcullis_types::Timestamp;

use crate::db::{Db, DbError};
use crate::query::{Query, sql};

/// Consumed and expired artefacts stay this long, so that their reuse can be told from a guess.
const KEEP_USED: Duration = Duration::from_secs(7 * 24 * 3600);
/// Alerts are kept this long; the log has them for as long as it is.
const KEEP_ALERTS: Duration = Duration::from_secs(365 * 24 * 3600);
/// That a request of a data subject was answered can be asked for so long.
const KEEP_REQUESTS: Duration = Duration::from_secs(3 * 365 * 24 * 3600);
/// Who was screened is kept for five years from the last time (FATF recommendation 11), unless somebody
/// removes it; whoever is monitored stays.
const KEEP_SUBJECTS: Duration = Duration::from_secs((5 * 365 + 2) * 24 * 3600);
/// Numbers of minutes are kept for a month of charts, and four weeks before the last one to compare it with.
const KEEP_MEASURES: Duration = Duration::from_secs(36 * 24 * 3600);
/// Lifted and ended blocks stay this long for review.
const KEEP_BLOCKS: Duration = Duration::from_secs(90 * 24 * 3600);

/// Tables and the rule for their old rows; `$1` is the moment before which a row may go.
fn rules() -> Vec<(&'static str, Duration, Query)> {
    vec![
        ("measure", KEEP_MEASURES, sql("DELETE FROM measure WHERE minute < $1 / 60000000")),
        ("quota", Duration::ZERO, sql("DELETE FROM quota WHERE expires_at < $1")),
        ("idv_code_sent", Duration::ZERO, sql("DELETE FROM idv_code_sent WHERE expires_at < $1")),
        ("authority", KEEP_BLOCKS, sql("DELETE FROM authority WHERE expires_at < $1")),
        (
            "issued_certificate",
            KEEP_USED,
            sql("DELETE FROM issued_certificate WHERE expires_at < $1"),
        ),
        (
            "enrolment",
            Duration::ZERO,
            sql("DELETE FROM enrolment WHERE expires_at < $1 AND used_at IS NULL"),
        ),
        ("enrolment", KEEP_USED, sql("DELETE FROM enrolment WHERE expires_at < $1")),
        ("signing_key", KEEP_USED, sql("DELETE FROM signing_key WHERE expires_at < $1")),
        (
            "pending_registration",
            Duration::ZERO,
            sql("DELETE FROM pending_registration WHERE expires_at < $1"),
        ),
        ("password_reset", Duration::ZERO, sql("DELETE FROM password_reset WHERE expires_at < $1")),
        ("email_change", Duration::ZERO, sql("DELETE FROM email_change WHERE expires_at < $1")),
        ("login_session", KEEP_USED, sql("DELETE FROM login_session WHERE expires_at < $1")),
        ("client_secret", KEEP_USED, sql("DELETE FROM client_secret WHERE expires_at < $1")),
        (
            "client_assertion",
            Duration::ZERO,
            sql("DELETE FROM client_assertion WHERE expires_at < $1"),
        ),
        (
            "oauth_grant",
            Duration::ZERO,
            sql("DELETE FROM oauth_grant WHERE expires_at < $1 AND redeemed_at IS NULL"),
        ),
        ("oauth_grant", KEEP_USED, sql("DELETE FROM oauth_grant WHERE expires_at < $1")),
        (
            "authorization_code",
            KEEP_USED,
            sql("DELETE FROM authorization_code WHERE expires_at < $1"),
        ),
        ("refresh_token", KEEP_USED, sql("DELETE FROM refresh_token WHERE expires_at < $1")),
        (
            "device_request",
            Duration::ZERO,
            sql("DELETE FROM device_request WHERE expires_at < $1 AND consumed_at IS NULL"),
        ),
        ("device_request", KEEP_USED, sql("DELETE FROM device_request WHERE expires_at < $1")),
        ("pushed_request", Duration::ZERO, sql("DELETE FROM pushed_request WHERE expires_at < $1")),
        ("passkey_answer", Duration::ZERO, sql("DELETE FROM passkey_answer WHERE expires_at < $1")),
        (
            "client_registration",
            Duration::ZERO,
            sql(
                "DELETE FROM oauth_client WHERE id IN (SELECT r.client_id FROM client_registration r \
                 WHERE r.tenant = oauth_client.tenant AND r.unused_until < $1)",
            ),
        ),
        ("pending_login", Duration::ZERO, sql("DELETE FROM pending_login WHERE expires_at < $1")),
        ("invitation", KEEP_USED, sql("DELETE FROM invitation WHERE expires_at < $1")),
        (
            "upstream_answer",
            Duration::ZERO,
            sql("DELETE FROM upstream_answer WHERE expires_at < $1"),
        ),
        ("user_import", KEEP_BLOCKS, sql("DELETE FROM user_import WHERE updated_at < $1")),
        ("mail_login", Duration::ZERO, sql("DELETE FROM mail_login WHERE expires_at < $1")),
        ("revocation", Duration::ZERO, sql("DELETE FROM revocation WHERE expires_at < $1")),
        ("alert", KEEP_ALERTS, sql("DELETE FROM alert WHERE created_at < $1")),
        ("subject_request", KEEP_REQUESTS, sql("DELETE FROM subject_request WHERE closed_at < $1")),
        ("review_case", KEEP_ALERTS, sql("DELETE FROM review_case WHERE closed_at < $1")),
        (
            "aml_subject",
            KEEP_SUBJECTS,
            sql("DELETE FROM aml_subject WHERE screened_at < $1 AND NOT monitored"),
        ),
        (
            "idv_challenge",
            Duration::ZERO,
            sql("DELETE FROM idv_challenge WHERE expires_at < $1 AND used_at IS NULL"),
        ),
        ("idv_challenge", KEEP_USED, sql("DELETE FROM idv_challenge WHERE expires_at < $1")),
        ("idv_session", Duration::ZERO, sql("DELETE FROM idv_session WHERE expires_at < $1")),
        // What is about to go is counted no more.
        (
            "idv_list",
            Duration::ZERO,
            sql("UPDATE idv_list SET size = size - (SELECT COUNT(*) FROM idv_list_entry e \
                 WHERE e.tenant = idv_list.tenant AND e.list_id = idv_list.id AND e.expires_at < $1) \
                 WHERE EXISTS (SELECT 1 FROM idv_list_entry e WHERE e.tenant = idv_list.tenant \
                 AND e.list_id = idv_list.id AND e.expires_at < $1)"),
        ),
        ("idv_list_entry", Duration::ZERO, sql("DELETE FROM idv_list_entry WHERE expires_at < $1")),
        (
            "credential_offer",
            // So long they count for how many there may be.
            Duration::from_secs(3_600),
            sql("DELETE FROM credential_offer WHERE expires_at < $1 AND consumed_at IS NULL"),
        ),
        ("credential_offer", KEEP_USED, sql("DELETE FROM credential_offer WHERE expires_at < $1")),
        (
            "issued_credential",
            KEEP_USED,
            sql("DELETE FROM issued_credential WHERE expires_at < $1"),
        ),
        ("idv_picture", Duration::ZERO, sql("DELETE FROM idv_picture WHERE expires_at < $1")),
        ("face_template", Duration::ZERO, sql("DELETE FROM face_template WHERE expires_at < $1")),
        ("idv_signal", KEEP_BLOCKS, sql("DELETE FROM idv_signal WHERE seen_at < $1")),
        ("presentation", Duration::ZERO, sql("DELETE FROM presentation WHERE ends_at < $1")),
        ("idv_message", Duration::ZERO, sql("DELETE FROM idv_message WHERE expires_at < $1")),
        (
            "idv_idempotency",
            Duration::ZERO,
            sql("DELETE FROM idv_idempotency WHERE expires_at < $1"),
        ),
        ("block", KEEP_BLOCKS, sql("DELETE FROM block WHERE until_at < $1")),
    ]
}

/// Tables that may only grow, and why.
pub const KEPT: &[(&str, &str)] = &[
    ("sealed_secret", "one row for each secret of the installation"),
    ("revocation_list", "one row for each authority"),
    ("account", "removed by its owner or an administrator"),
    ("account_group", "removed by an administrator"),
    ("group_member", "goes with the account or the group"),
    ("logout_notice", "emptied as soon as the client knows or is given up"),
    ("resource_server", "removed by an administrator"),
    ("subject_key", "goes with the account"),
    ("month_key", "one row for each month; the key in it goes by the rule of the log"),
    ("upstream_identity", "unlinked by its owner"),
    ("totp", "one row for each account; removed by its owner"),
    ("recovery_code", "ten rows for each account, replaced together"),
    ("passkey", "removed by its owner"),
    ("oauth_client", "removed by an administrator"),
    ("consent", "one row for each account and client; goes with either"),
    ("api_key", "the record of who had access; revoked keys stay"),
    ("aml_hit", "goes with its subject"),
    ("aml_list", "one row for each list"),
    ("idv_trust", "whom the operator trusts; removed by the operator"),
    ("idv_trust_version", "one row for each tenant"),
    ("idv_workflow", "what sessions were decided by"),
    ("idv_workflow_version", "what sessions were decided by"),
    ("idv_webhook", "removed by whoever made it"),
    ("idv_delivery", "goes with its message"),
    ("idv_evidence", "goes with its session"),
    ("idv_note", "goes with its session"),
    ("verified_identity", "goes with its account or its session, or is revoked"),
    ("account_proof", "goes with its account or its session, or is taken back"),
    ("credential_list", "one row for each 65,536 credentials"),
    ("idv_code", "goes with its session"),
    ("idv_seen", "goes with its session"),
    ("face_count", "one row for each tenant"),
    ("idv_session_event", "goes with its session"),
    ("idv_effect", "goes as soon as it was brought about, and with its session"),
    ("event_outbox", "emptied as soon as the log has the event"),
    ("mail_outbox", "emptied as soon as the message is sent or given up"),
    ("schema_migration", "one row for each migration"),
];

/// The tables with a retention rule.
pub fn covered() -> Vec<&'static str> {
    rules().into_iter().map(|(table, ..)| table).collect()
}

/// Removes what is past its time and returns how many rows went.
pub async fn run(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    db.write(|tx| async move {
        let mut removed = 0;
        for (_, keep, query) in rules() {
            removed += query.bind(now.minus(keep)).execute(&tx).await?;
        }
        Ok(removed)
    })
    .await
}
