use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{Question, span::Span};

/// What the member `schema` says.
pub const SCHEMA: &str = "idv.workflow/1";
/// Nodes of a graph.
pub const NODES_MAX: usize = 500;
/// Bytes of a graph as JSON.
pub const TEXT_MAX_BYTES: usize = 256 * 1024;
/// Characters of a label.
pub const LABEL_MAX_CHARS: usize = 200;

/// A workflow as somebody drew it: nothing is known about whether it makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The first node.
    pub start: String,
    /// What holds for a session as a whole.
    pub limits: Limits,
    /// What an approval says about an account, if it says something.
    pub verifies: Option<Verifies>,
    /// Its nodes by their names.
    pub nodes: BTreeMap<String, Node>,
    /// How people call nodes.
    pub labels: BTreeMap<String, String>,
    /// How often nodes may be entered.
    pub visits: BTreeMap<String, Visits>,
    /// Where the builder shows them. It means nothing, and is no part of what [`Graph::meaning`] tells.
    pub layout: Json,
}

/// What holds for a session as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long the person has.
    pub ttl: Span,
    /// How often the person may try one step.
    pub attempts: u32,
    /// How long after its beginning steps can be asked for again.
    pub window: Span,
}

impl Default for Limits {
    fn default() -> Self {
        let (ttl, window) = (Span::seconds(24 * 3_600), Span::seconds(7 * 24 * 3_600));
        Self { ttl, attempts: 3, window }
    }
}

/// That an approval tells whom an account belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifies {
    /// By whose rules (OpenID Identity Assurance Schema Definition 1.0).
    pub trust_framework: String,
    /// To which of its levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance_level: Option<String>,
    /// The node whose chip says who they are.
    pub from: String,
}

/// How often a node may be entered, and where it goes on after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visits {
    /// So often.
    pub max: u32,
    /// Then here.
    pub over: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Node {
    /// Something is checked.
    Check(Check),
    /// Several things happen beside each other.
    Parallel(Parallel),
    /// It depends.
    Branch(Branch),
    /// Time passes.
    Wait(Wait),
    /// People decide.
    Review(Review),
    /// Somebody is told.
    Webhook(Webhook),
    /// The end.
    Decide(Decide),
}

/// Something is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What; see [`crate::CATALOGUE`].
    pub check: String,
    /// Parts of it that must be done.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub require: BTreeSet<String>,
    /// The policy by whose terms it is done, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// For `lists` those that are looked at; all if there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lists: BTreeSet<String>,
    /// For `questionnaire` what is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// Whoever does it, where somebody else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether the person is compared with each new version of the lists from then on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub monitor: bool,
    /// For `aml` the node that tells who somebody is, or `expected`; the last one that did, if it is not named.
    /// For `emrtd` the node whose zone is on the same document. For `face_match` the node with the portrait, a chip or
    /// a picture of a document, or `enrolled` for the faces that are kept of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// For `face_search` how long the face is kept to be found by others, if the person agreed to it; not at all if
    /// nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
    /// How often it is done again if it cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Where it goes on if it failed to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<Fallback>,
    /// Where it goes on if whoever does it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unavailable: Option<Fallback>,
    /// Where it goes on if the document or the device of the person cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unsupported: Option<Fallback>,
    /// The next node; the end of a branch of `parallel` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How often something is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// So often.
    pub max: u32,
    /// After so long at first; twice as long each time.
    pub backoff: Span,
}

/// What happens if a check cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fallback {
    /// Another node is next.
    Goto(String),
    /// It counts as something, and the next node is next.
    Set {
        /// As what. Nothing that is not done passes.
        set: SetTo,
    },
}

/// What a check that cannot be done may count as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetTo {
    /// It was left out, and that is all right.
    NotPerformed,
    /// A person should look.
    Review,
    /// It failed.
    Failed,
}

/// Several things happen beside each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parallel {
    /// The first node of each branch.
    pub branches: Vec<String>,
    /// When they are one again.
    pub join: Join,
}

/// When branches are one again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Whom it waits for.
    pub mode: JoinMode,
    /// The node after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
}

/// For which branches one waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinMode {
    /// For all.
    All,
    /// For the first; the others are given up.
    Any,
    /// For the first whose last check passed or failed, and for all if there is none.
    FirstDecisive,
}

/// It depends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The first that holds counts.
    pub cases: Vec<Case>,
    /// Where it goes on if none does.
    #[serde(rename = "else", default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

/// One way that it may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// Rules, or an expression.
    pub when: Json,
    /// Where it goes on.
    pub goto: String,
}

/// Time passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// So much.
    #[serde(rename = "for")]
    pub span: Span,
    /// The next node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// People decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// In whose queue it is.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// How many must agree.
    #[serde(default = "one")]
    pub approvers: u32,
    /// How soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Span>,
    /// Where it goes on if nobody decided in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<String>,
    /// Where it goes on if they approve; the session is approved if there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_approved: Option<String>,
    /// Where it goes on if they decline; the session is declined if there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_declined: Option<String>,
}

fn default_queue() -> String {
    "default".to_owned()
}

fn one() -> u32 {
    1
}

impl Default for Review {
    fn default() -> Self {
        Self {
            queue: default_queue(),
            approvers: one(),
            sla: None,
            on_timeout: None,
            on_approved: None,
            on_declined: None,
        }
    }
}

/// Somebody is told: whoever receives webhooks, and whoever listens to the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What the event is called.
    pub event: String,
    /// The next node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The end: by a rule, or set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// By what is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Set>,
    /// Why, in a word that other programs understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who looks, where people have to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
}

/// By what is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// By what all checks came to.
    Fold,
}

/// What a decision can be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// Approved.
    Approved,
    /// Declined.
    Declined,
    /// People decide.
    Review,
}

/// A way from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge<'a> {
    /// The member that says so, as a JSON pointer in its node.
    pub at: &'static str,
    /// Where to.
    pub to: &'a str,
}

impl Node {
    /// Every way out, but into the branches of a `parallel`.
    pub fn edges(&self) -> Vec<Edge<'_>> {
        fn edge<'a>(at: &'static str, to: Option<&'a String>) -> Option<Edge<'a>> {
            to.map(|to| Edge { at, to })
        }
        fn fallback<'a>(at: &'static str, to: Option<&'a Fallback>) -> Option<Edge<'a>> {
            match to {
                Some(Fallback::Goto(to)) => Some(Edge { at, to }),
                Some(Fallback::Set { .. }) | None => None,
            }
        }
        let edges = match self {
            Self::Check(check) => vec![
                fallback("/on_error", check.on_error.as_ref()),
                fallback("/on_unavailable", check.on_unavailable.as_ref()),
                fallback("/on_unsupported", check.on_unsupported.as_ref()),
                edge("/next", check.next.as_ref()),
            ],
            Self::Parallel(parallel) => vec![edge("/join/then", parallel.join.then.as_ref())],
            Self::Branch(branch) => {
                let cases = branch.cases.iter().map(|case| edge("/cases", Some(&case.goto)));
                cases.chain([edge("/else", branch.otherwise.as_ref())]).collect()
            }
            Self::Wait(wait) => vec![edge("/next", wait.next.as_ref())],
            Self::Webhook(webhook) => vec![edge("/next", webhook.next.as_ref())],
            Self::Review(review) => review_edges(review).to_vec(),
            Self::Decide(_) => Vec::new(),
        };
        edges.into_iter().flatten().collect()
    }

    /// Whether a branch of a `parallel` can end here, and where it would go on elsewhere.
    pub(crate) fn open_end(&self) -> Option<&'static str> {
        match self {
            Self::Check(check) => check.next.is_none().then_some("/next"),
            Self::Parallel(parallel) => parallel.join.then.is_none().then_some("/join/then"),
            Self::Wait(wait) => wait.next.is_none().then_some("/next"),
            Self::Webhook(webhook) => webhook.next.is_none().then_some("/next"),
            Self::Branch(_) | Self::Review(_) | Self::Decide(_) => None,
        }
    }

    /// What it is, as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Parallel(_) => "parallel",
            Self::Branch(_) => "branch",
            Self::Wait(_) => "wait",
            Self::Review(_) => "review",
            Self::Webhook(_) => "webhook",
            Self::Decide(_) => "decide",
        }
    }
}

fn review_edges(review: &Review) -> [Option<Edge<'_>>; 3] {
    [
        review.on_timeout.as_ref().map(|to| Edge { at: "/on_timeout", to }),
        review.on_approved.as_ref().map(|to| Edge { at: "/on_approved", to }),
        review.on_declined.as_ref().map(|to| Edge { at: "/on_declined", to }),
    ]
}
