use std::{borrow::Cow, time::Duration};

use portcullis_types::Timestamp;

use crate::{Actor, TraceIds};

/// What happened.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Somebody tried to prove who they are.
    Login(LoginAttempt),
    /// A session ended.
    Logout {
        /// The session.
        session: String,
    },
    /// A token was issued, refreshed, revoked, introspected or refused.
    Token(TokenOperation),
    /// An account or its credentials changed.
    Account(AccountChange),
    /// An administrator changed something.
    Admin(AdminChange),
    /// A request passed through or was refused by the gate.
    Request(RequestSeen),
    /// Somebody was compared with lists of sanctions and the like.
    Screening(Screening),
    /// A document or another proof of identity was checked.
    Check(Check),
    /// A session of verification went on.
    Verification(Verification),
    /// A detector found something.
    Alert(AlertRaised),
    /// An address was blocked, or a block lifted.
    Block(BlockChange),
    /// The service started, stopped or reloaded, or events were lost.
    Lifecycle(Lifecycle),
}

/// One attempt to authenticate.
#[derive(Debug, Clone, Default)]
pub struct LoginAttempt {
    /// `password`, `client_secret_basic`, `private_key_jwt`, `api_key` …
    pub factor: &'static str,
    /// The door: `login`, `token`, `account`.
    pub door: &'static str,
    /// The session that began, if one did.
    pub session: Option<String>,
    /// Whether more than one factor was proven with it, or together with what came before.
    pub is_mfa: bool,
    /// Keyed hash of the failed password, for detectors in memory. It is never logged.
    pub password_fingerprint: Option<u128>,
    /// How long it was made to wait before the password was looked at.
    pub delayed: Option<Duration>,
    /// Whether the browser showed that this account was logged in to with it before.
    pub known_device: Option<bool>,
}

/// What was done with a token.
#[derive(Debug, Clone, Default)]
pub struct TokenOperation {
    /// `issue`, `refresh`, `revoke`, `introspect`, `reuse`, `exchange`, `authorize`, `consent`.
    pub operation: &'static str,
    /// The client it is for.
    pub client: String,
    /// The grant type or token type.
    pub grant_type: String,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// The `jti` of the access token.
    pub token_id: Option<String>,
    /// The grant (family) it belongs to.
    pub grant: Option<String>,
}

/// What became of an account.
#[derive(Debug, Clone)]
pub struct AccountChange {
    /// `registered`, `email_verified`, `password_changed`, `password_reset`, `flagged` …
    pub change: &'static str,
    /// The account that changed.
    pub user: Actor,
    /// The login provider that it is about.
    pub provider: Option<String>,
}

/// A change made by an administrator. Secrets are not part of `before` and `after`.
#[derive(Debug, Clone)]
pub struct AdminChange {
    /// `create`, `update`, `delete`, `enable`, `disable`, `rotate`, `revoke`.
    pub action: &'static str,
    /// `user`, `client`, `api_key`, `block`, `alert`.
    pub object_type: &'static str,
    /// Its id.
    pub object: String,
    /// The fields before, where it existed.
    pub before: Option<serde_json::Value>,
    /// The fields after, where it still exists.
    pub after: Option<serde_json::Value>,
}

/// The step of the pipeline that decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Strict checks of the request head.
    Guard,
    /// The block list.
    BlockList,
    /// Routing.
    Route,
    /// Rate limits.
    Limits,
    /// Authentication.
    Authenticate,
    /// Authorisation.
    Authorise,
    /// Validation of the content.
    Validate,
    /// The upstream.
    Forward,
    /// Filtering of the answer.
    Filter,
}

impl Stage {
    /// The name in events and problem documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::BlockList => "block_list",
            Self::Route => "route",
            Self::Limits => "limits",
            Self::Authenticate => "authenticate",
            Self::Authorise => "authorise",
            Self::Validate => "validate",
            Self::Forward => "forward",
            Self::Filter => "filter",
        }
    }
}

/// What one policy said of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDecision {
    /// Whether it lets the request pass.
    pub allows: bool,
    /// What sort of policy it is: `scope`, `spiffe_id`, `step_up`, `cedar`, `limit`, `content`.
    pub kind: &'static str,
    /// What it is called, or asks for.
    pub name: String,
}

impl PolicyDecision {
    /// One that lets the request pass.
    pub fn allows(kind: &'static str, name: impl Into<String>) -> Self {
        Self { allows: true, kind, name: name.into() }
    }

    /// One that refuses it.
    pub fn denies(kind: &'static str, name: impl Into<String>) -> Self {
        Self { allows: false, kind, name: name.into() }
    }
}

/// A request as the gate saw it.
#[derive(Debug, Clone, Default)]
pub struct RequestSeen {
    /// The method.
    pub method: String,
    /// The normalised path, without the query.
    pub path: String,
    /// The route that matched.
    pub route: Option<String>,
    /// The upstream it went to.
    pub upstream: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// Time from the request's head to the answer's head.
    pub latency: Duration,
    /// Where it was refused, if it was.
    pub refused_at: Option<Stage>,
    /// Everything that was decided about it on the way, in order.
    pub policies: Vec<PolicyDecision>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: &'static str,
    /// What of it did not fit its contract and was let through, or was taken out of the answer.
    pub violations: Vec<String>,
    /// The session or grant under which it was made.
    pub session: Option<String>,
    /// Where it stands in a trace that is collected.
    pub trace: Option<TraceIds>,
    /// The length of the answer's content, where it was known when the answer began.
    pub bytes: Option<u64>,
}

/// The verdict of a screening. Who was screened has no name here: a keyed digest of what was known stands for
/// it, so that it can be shown later that it was this.
#[derive(Debug, Clone, Default)]
pub struct Screening {
    /// Why: `request`, `list_change`, `recheck`.
    pub cause: &'static str,
    /// The subject, if it is kept.
    pub subject: Option<String>,
    /// Keyed digest of what was known of the subject, hexadecimal.
    pub digest: String,
    /// The lists, with the versions that they had.
    pub lists: Vec<ListUsed>,
    /// The policy.
    pub policy: String,
    /// SHA-256 of the policy with its threshold, hexadecimal.
    pub policy_hash: String,
    /// From which score on it was a match.
    pub threshold: f64,
    /// The topics that were asked for; all if there is none.
    pub topics: Vec<String>,
    /// What else was left out of the hits, as JSON.
    pub filter: Option<String>,
    /// How many hits there are now.
    pub hits: usize,
    /// Those that are new, changed or gone; without a subject that is kept, all of them.
    pub changes: Vec<HitChange>,
}

/// The report of a check. Whose document it was has no name here: a keyed digest of what was checked stands for
/// it, so that it can be shown later that it was this.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// The report.
    pub report: String,
    /// `mrz`, `emrtd`, `barcode`, `image`
    pub check: &'static str,
    /// `passed`, `failed`, `review`
    pub status: &'static str,
    /// `cryptographic`, `heuristic`, `self_asserted`
    pub assurance: &'static str,
    /// Why.
    pub codes: Vec<&'static str>,
    /// Keyed digest of what was checked, hexadecimal.
    pub inputs_hash: String,
    /// SHA-256 over the authorities that were trusted, hexadecimal.
    pub trust: Option<String>,
}

/// That a session of verification went on. Whose it is has no name here.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// The session.
    pub session: String,
    /// `began`, `given`, `performed`, `voted`, `resubmitted`, `due`, `expired`, `cancelled`, `decided`, `told`, `erased`,
    /// `assigned`, `unassigned`, `noted`, `passkey_bound`, `other_person`
    pub change: &'static str,
    /// Where it is after that.
    pub status: &'static str,
    /// How many events it had by then.
    pub version: i64,
    /// The workflow.
    pub workflow: String,
    /// The version of it, to which the session is pinned.
    pub workflow_version: i64,
    /// SHA-256 of what that version means, hexadecimal.
    pub workflow_digest: String,
    /// Whose account it is about, if it is about one.
    pub account: Option<String>,
    /// Whose account looks after it, or did.
    pub assignee: Option<String>,
    /// The step that it is about.
    pub node: Option<String>,
    /// The report of a check.
    pub report: Option<String>,
    /// `approved`, `declined`: what somebody said, or what was decided.
    pub verdict: Option<&'static str>,
    /// Why, in a word; of `passkey_bound` which.
    pub reason: Option<String>,
    /// What was decided by: `rule`, `graph`, `reviewers`.
    pub decided_by: Option<&'static str>,
    /// With a decision: SHA-256 of a salt and of what it rests on, hexadecimal.
    pub evidence: Option<String>,
    /// With a decision by a workflow that verifies whom accounts belong to, what came of that: `kept`,
    /// `not_approved`, `not_proven`, `other_person`, `no_account`, `unknown_trust_framework`
    pub verified: Option<&'static str>,
    /// With a decision: each step with its report and what that came to.
    pub reports: Vec<ReportUsed>,
    /// With a decision: the way that was taken, `node way`.
    pub trace: Vec<String>,
}

/// A report that a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportUsed {
    /// The step.
    pub node: String,
    /// The report, if the check was done.
    pub report: Option<String>,
    /// As what it counts.
    pub status: &'static str,
    /// By what that is known.
    pub assurance: Option<&'static str>,
}

/// A list that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUsed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its entities, hexadecimal.
    pub digest: String,
}

/// What became of a hit.
#[derive(Debug, Clone, PartialEq)]
pub struct HitChange {
    /// `new`, `changed` or `gone`.
    pub change: &'static str,
    /// The hit, if it is kept.
    pub hit: Option<String>,
    /// The list.
    pub list: String,
    /// The entity on it.
    pub entity: String,
    /// The score.
    pub score: f64,
}

/// A finding of a detector.

#[derive(Debug, Clone)]
pub struct AlertRaised {
    /// The alert.
    pub alert: String,
    /// The rule that raised it, such as `password_spray`.
    pub rule: Cow<'static, str>,
    /// A sentence a person understands.
    pub title: String,
    /// The evidence in words.
    pub description: String,
    /// MITRE ATT&CK technique, such as `T1110.003`, and what it is called; empty if there is none.
    pub attack: (Cow<'static, str>, &'static str),
    /// `severity_id` of OCSF.
    pub severity: u32,
    /// What was done: `alert`, `block`, `step_up`, `end_sessions`, or `observed`.
    pub answer: String,
    /// When the first event of it happened.
    pub first_seen: Timestamp,
    /// Ids of the events that led to it.
    pub evidence: Vec<String>,
    /// Accounts concerned.
    pub accounts: Vec<String>,
}

/// A block that came or went.
#[derive(Debug, Clone)]
pub struct BlockChange {
    /// The block.
    pub block: String,
    /// The address or prefix.
    pub addr: String,
    /// `true` when the block was set, `false` when it was lifted.
    pub active: bool,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// What became of the service.
#[derive(Debug, Clone)]
pub enum Lifecycle {
    /// It answers.
    Started {
        /// The version of the binary.
        version: &'static str,
    },
    /// It was asked to stop.
    Stopped,
    /// The configuration was read again.
    Reloaded,
    /// The clock of the machine was set while it ran.
    ClockStep {
        /// By how much: forward, or back if it is negative.
        millis: i64,
    },
    /// Events of requests could not be queued.
    Gap {
        /// How many.
        lost: u64,
    },
    /// The log of a year was closed, and that of another begun.
    Rotated {
        /// The name of the one that was closed.
        log: String,
        /// Its entries.
        entries: u64,
    },
    /// Entries of a log are old enough to be removed: written before they are.
    Pruned(Pruned),
    /// The key of a month was destroyed, and with it all that was personal in the entries of it.
    MonthErased {
        /// Year and month, `2026-11`.
        month: String,
    },
}

/// What was removed of the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Everything that is no longer kept, of each log, also what went earlier: so that one such entry
    /// is enough.
    pub removed: Vec<Removed>,
    /// All of it is from before this time.
    pub before: Timestamp,
}

/// What is no longer kept of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The name of the log.
    pub log: String,
    /// Its minimum index (C2SP `tlog-tiles`): entries before it are gone.
    pub minimum: u64,
}

/// The code of [`Lifecycle::Pruned`].
pub const PRUNED: &str = "sys_log_pruned";

impl Kind {
    /// The stable code of this kind, in the manner of the OWASP logging vocabulary.
    pub fn code(&self, success: bool) -> String {
        let text = match self {
            Self::Login(_) if success => "authn_login_success",
            Self::Login(_) => "authn_login_fail",
            Self::Logout { .. } => "authn_logout",
            Self::Token(operation) => return format!("authn_token_{}", operation.operation),
            Self::Account(change) => return format!("user_{}", change.change),
            Self::Admin(change) => {
                return format!("admin_{}_{}", change.object_type, change.action);
            }
            Self::Request(seen) if seen.refused_at.is_some() => "gate_denied",
            Self::Request(_) => "gate_allowed",
            Self::Screening(screening) if screening.cause == "request" => "aml_screened",
            Self::Screening(_) => "aml_rescreened",
            Self::Check(_) => "idv_checked",
            Self::Verification(session) => return format!("idv_session_{}", session.change),
            Self::Alert(alert) => return format!("alert_{}", alert.rule),
            Self::Block(block) if block.active => "block_added",
            Self::Block(_) => "block_lifted",
            Self::Lifecycle(Lifecycle::Started { .. }) => "sys_startup",
            Self::Lifecycle(Lifecycle::Stopped) => "sys_shutdown",
            Self::Lifecycle(Lifecycle::Reloaded) => "sys_reload",
            Self::Lifecycle(Lifecycle::ClockStep { .. }) => "sys_clock_step",
            Self::Lifecycle(Lifecycle::Gap { .. }) => "sys_event_gap",
            Self::Lifecycle(Lifecycle::Rotated { .. }) => "sys_log_rotated",
            Self::Lifecycle(Lifecycle::Pruned { .. }) => PRUNED,
            Self::Lifecycle(Lifecycle::MonthErased { .. }) => "sys_month_erased",
        };
        text.to_owned()
    }
}
