//! What is kept of people: where, why, and until when. A test holds it against the schema, so that no table can be
//! added without a word about it.

/// A table with personal data.
#[derive(Debug, Clone, Copy)]
pub struct Personal {
    /// The table.
    pub table: &'static str,
    /// What is in it.
    pub what: &'static str,
    /// What it is there for.
    pub why: &'static str,
    /// When it goes.
    pub until: &'static str,
    /// Whether it is sealed with a key of its own.
    pub is_sealed: bool,
}

macro_rules! map {
    ($($table:literal $sealed:literal: $what:literal, $why:literal, $until:literal;)*) => {
        /// Every table with personal data.
        pub const PERSONAL: &[Personal] = &[$(Personal {
            table: $table, what: $what, why: $why, until: $until, is_sealed: $sealed,
        },)*];
    };
}
map! {
    "account" false: "user name, e-mail address, display name, hash of the password, roles, language", "to log in", "the account is removed";
    "account_proof" false: "that an account was verified, how and when; a keyed digest of the date of birth where a passkey stands for it", "logins that need a verification", "the account or the session goes, or it is taken back";
    "alert" false: "addresses and ids of accounts that a finding is about", "to answer attacks", "365 days";
    "aml_hit" false: "which entry of a list a subject may be, what was decided, and by whom", "screening the law asks for", "the subject goes";
    "aml_subject" true: "names, dates and identifiers of whoever is screened; the reference in the clear", "screening the law asks for", "five years after the last time, or it is erased";
    "api_key" false: "the user name of whoever made it", "to answer for access that was given", "never: it is the record of who had access";
    "idv_workflow_version" false: "the user name of whoever published it", "to answer for how people are decided about", "never: sessions were decided by it";
    "authorization_code" false: "whose login a code is about", "to log in", "7 days after its end";
    "block" false: "an address or a network, why, and who put or lifted it", "to keep attackers out", "90 days after its end";
    "client_registration" false: "a token for whoever registered a client", "that only they change it", "it is removed, or was never used";
    "consent" false: "what somebody let a client do", "not to ask again", "the account or the client goes, or it is taken back";
    "credential_offer" false: "what a wallet is about to get", "credentials for wallets", "an hour after its end, 7 days if it was used";
    "device_request" false: "whose login a device asked for", "to log in on devices", "7 days after its end";
    "email_change" false: "the address that somebody wants instead", "to prove it", "its end";
    "event_outbox" true: "events on their way to the log", "that none is lost", "the log has them";
    "face_template" true: "a face as numbers", "to know people again, where a workflow asks for it", "the end that the configuration sets; of a list, with its entry";
    "group_member" false: "who is in a group", "rights", "the account or the group goes";
    "idv_code" true: "hash of a code that was sent to somebody", "to prove an address or number", "the session goes";
    "idv_code_sent" false: "keyed hashes of numbers and lines that codes went to", "that nobody is flooded", "hours";
    "idv_effect" false: "what a decision still has to bring about", "that none is lost", "it was brought about, or the session goes";
    "idv_evidence" true: "what a decision rests on, signed", "to prove it later", "the session goes";
    "idv_list_entry" true: "what an operator put on a list, and who did", "to know again who is on it", "its end, or it is taken off";
    "idv_message" false: "webhooks about sessions", "to tell whom the operator named", "its end";
    "idv_note" true: "what people wrote about a session", "to decide", "the session goes";
    "idv_picture" true: "pictures of documents and faces", "review by people", "the end that the configuration sets, in hours";
    "idv_seen" true: "the browser, device and address of whoever goes through a session", "fraud signals", "the session goes";
    "idv_session" true: "what somebody showed of themselves, and what was found; references and account in the clear", "verification", "the end that the workflow sets, or it is erased";
    "idv_session_event" true: "what happened to a session", "to explain a decision", "the session goes";
    "idv_signal" false: "keyed hashes of documents, addresses and numbers", "to see who comes again", "90 days";
    "invitation" false: "the address of whoever was invited, and who invited them", "to let them in", "7 days after its end";
    "issued_certificate" false: "the name of a workload or of somebody who has it", "to revoke it", "7 days after its end";
    "issued_credential" false: "what a wallet holds", "to revoke it", "7 days after its end";
    "login_session" false: "address and browser of a login", "that people see and end their logins", "7 days after the time it was to last";
    "logout_notice" false: "whose logout a client is told of", "single logout", "the client knows";
    "mail_login" false: "whose login by mail it is", "to log in", "its end";
    "mail_outbox" true: "mails and text messages on their way", "to send them", "they are sent, or given up";
    "oauth_grant" false: "what a client may do for whom", "tokens", "7 days after the time it was to last";
    "passkey" false: "public keys and what people call them", "to log in", "its owner removes it";
    "password_reset" false: "whose password may be set anew", "recovery", "its end";
    "pending_login" false: "how far a login has come", "to log in", "its end";
    "pending_registration" false: "what somebody registers with", "to prove the address", "its end";
    "presentation" true: "credentials that somebody showed", "verification", "its end, or it is forgotten";
    "pushed_request" false: "what a client asks for, with hints of whom", "to log in", "its end";
    "recovery_code" false: "hashes of codes", "to log in without a device", "its owner makes new ones";
    "refresh_token" false: "whose login it goes on for", "tokens", "7 days after its end";
    "review_case" false: "that an account was flagged, why, and what was decided", "to review it", "365 days after it was closed, or the account is removed";
    "revocation" false: "ids of tokens and people whose tokens are void", "that they are refused", "its end";
    "subject_key" true: "the key that the log is sealed with for somebody", "erasure without breaking proofs", "the account is removed";
    "subject_request" false: "what somebody asked about their data, who they are, how it ended, and the user names of whoever wrote it down and closed it", "to answer in time, and to show it", "three years after it was closed; who it was, with the account if it was closed by then";
    "totp" true: "the secret of an app", "to log in", "its owner removes it";
    "upstream_identity" false: "who somebody is at another provider", "to log in with it", "its owner unlinks it";
    "verified_identity" true: "whom an account belongs to", "verified claims", "the account or the session goes, or it is revoked";
}

/// Tables without personal data.
pub const IMPERSONAL: &[&str] = &[
    "account_group",
    "aml_list",
    "authority",
    "client_assertion",
    "client_secret",
    "credential_list",
    "enrolment",
    "idv_challenge",
    "passkey_answer",
    "upstream_answer",
    "user_import",
    "face_count",
    "idv_delivery",
    "idv_idempotency",
    "idv_list",
    "idv_trust",
    "idv_trust_version",
    "idv_webhook",
    "idv_workflow",
    "measure",
    "month_key",
    "oauth_client",
    "quota",
    "resource_server",
    "revocation_list",
    "schema_migration",
    "sealed_secret",
    "signing_key",
];
