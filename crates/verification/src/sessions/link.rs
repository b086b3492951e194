//! Who goes through a session by themselves: whoever has its token.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_types::{Id, same_secret, tags};
use portcullis_workflow::{
    By, CheckStatus, Event, Outcome, Phase, Reason, Refused, Report, State, Task,
};
use url::{Host, Url, form_urlencoded};

use super::{ListKind, Open, SessionError, Sessions};

/// Bytes of where the person goes afterwards.
const CALLBACK_MAX_BYTES: usize = 2 * 1024;

/// What the last report of each step found out, also where the step was asked for again.
pub(super) type Found = BTreeMap<String, Vec<Reason>>;

/// A step that the person is to take.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// Its task, by a number that is never used again.
    pub serial: u32,
    /// Where.
    pub node: &'a str,
    /// What is checked, as the catalogue calls it.
    pub check: &'a str,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// What the last try came to.
    pub found: &'a [Reason],
}

impl Sessions {
    /// The token of whoever goes through a session. It is always the same, and nothing that is stored tells it.
    pub fn client_token(&self, id: Id<tags::IdvSession>) -> String {
        let id = id.to_string();
        let mac = self.digest(&[b"client_token", id.as_bytes()]);
        format!("{id}.{}", BASE64URL_NOPAD.encode(&mac))
    }

    /// The session, for somebody who wants to send its link once more. Whoever has the link can act as the person,
    /// so that the log has who asked for it.
    pub async fn linked(
        &self,
        id: Id<tags::IdvSession>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Open, SessionError> {
        let linked = self.db.write(|tx| async move {
            let open = self.open(&tx, id).await?;
            if open.state.status.is_final() {
                return Err(Refused::Over.into());
            }
            let told = Verification { change: "linked", ..self.about_row(&open.row) };
            tx.emit(self.event(by, Some(origin), Kind::Verification(told))).await?;
            Ok(open)
        });
        linked.await
    }

    /// Our page for the person, below the issuer.
    pub fn page_url(&self, issuer: &str, open: &Open) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("token", &self.client_token(open.row.id));
        if !open.start.locale.is_empty() {
            query.append_pair("ui_locales", &open.start.locale);
        }
        format!("{issuer}/verify?{}", query.finish())
    }

    /// The session whose token this is.
    pub fn by_client_token(&self, token: &str) -> Option<Id<tags::IdvSession>> {
        let id = token.split_once('.')?.0.parse().ok()?;
        same_secret(self.client_token(id).as_bytes(), token.as_bytes()).then_some(id)
    }
}

impl Open {
    /// The steps that the person is to take, in the order in which they came up.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.state.tasks.iter().filter_map(|(serial, task)| {
            let Phase::Asking { attempt } = task.phase else { return None };
            let Task { node, .. } = task;
            let check = &self.plan.check(node)?.check;
            let found = self.found.get(node).map(Vec::as_slice).unwrap_or_default();
            Some(Step { serial: *serial, node, check, attempt, found })
        })
    }

    /// What was found out about what the person gave, where that failed and is why the session was declined.
    pub fn failed(&self) -> impl Iterator<Item = &Reason> {
        let decided = self.state.decision.as_ref().is_some_and(|decision| decision.by == By::Rule);
        let failed = move |node: &str| {
            decided
                && self.state.done.get(node).is_some_and(|done| done.status == CheckStatus::Failed)
        };
        self.found.iter().filter(move |(node, _)| failed(node)).flat_map(|(_, found)| found)
    }
}

/// Remembers what came of what the person gave; before the step is taken.
pub(super) fn remember(found: &mut Found, state: &State, event: &Event) {
    let Event::Given { serial, outcome } = event else { return };
    let Some(task) = state.tasks.get(serial) else { return };
    let reasons = match outcome {
        Outcome::Report(report) => report.reasons.clone(),
        Outcome::Unsupported(_) | Outcome::Unavailable(_) | Outcome::Error(_) => Vec::new(),
    };
    found.insert(task.node.clone(), reasons);
}

/// The address or number that what somebody gave is about, if it is about one.
pub(super) fn reached(event: &Event) -> Option<(ListKind, String)> {
    let Event::Given { outcome: Outcome::Report(report), .. } = event else { return None };
    reached_by(report)
}

/// The address or number that a report is about, if it is about one.
pub(super) fn reached_by(report: &Report) -> Option<(ListKind, String)> {
    let view = &report.detail["view"];
    let (kind, told) = match view["check"].as_str()? {
        "email" => (ListKind::Email, &view["address"]),
        "phone" => (ListKind::Phone, &view["number"]),
        _ => return None,
    };
    Some((kind, told.as_str()?.to_owned()))
}

/// Whether a step has failed for good.
pub(super) fn has_failed(state: &State) -> bool {
    state.done.values().any(|done| done.status == CheckStatus::Failed)
}

/// Where the person goes afterwards: a page, or an app that claimed a name of its own (RFC 8252, section 7.1).
pub(super) fn check_callback(text: &str) -> Result<(), SessionError> {
    let fits = Url::parse(text).is_ok_and(|url| {
        let is_somewhere = match url.scheme() {
            "https" => url.host().is_some(),
            "http" => is_loopback(&url),
            // A name in reverse has a dot, which neither `javascript` nor `data` has.
            scheme => scheme.contains('.'),
        };
        let is_plain = url.username().is_empty() && url.password().is_none();
        // Whoever reads the first of two would read the wrong one.
        is_somewhere && is_plain && url.query_pairs().all(|(name, _)| name != "session")
    });
    if fits && text.len() <= CALLBACK_MAX_BYTES && !text.contains('#') {
        return Ok(());
    }
    let must = "must be https, http to this machine, or com.example.app:, without user, fragment and session";
    Err(SessionError::Invalid("callback", must.to_owned()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_to_pages_and_apps_and_nowhere_else() {
        for fits in [
            "https://shop.example/done?order=7",
            "http://127.0.0.1:9000/cb",
            "http://localhost/",
            "http://[::1]:1/",
            "com.example.shop:/verified",
        ] {
            assert!(check_callback(fits).is_ok(), "{fits}");
        }
        let long = format!("https://shop.example/{}", "a".repeat(CALLBACK_MAX_BYTES));
        for other in [
            "",
            "/done",
            "http://shop.example/",
            "http://127.0.0.1.evil.example/",
            "https://user@shop.example/",
            "https://shop.example/#x",
            "https://shop.example/?a=b&session=x",
            "http://u:p@localhost/",
            "com.example://u:p@host/",
            "javascript:alert(1)",
            "JaVaScRiPt:a.b",
            "data:text/html,a.b",
            "file:///etc/passwd",
            &long,
        ] {
            assert!(check_callback(other).is_err(), "{other}");
        }
    }
}
