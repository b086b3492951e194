//! Who goes through a session by themselves: whoever has its token.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use portcullis_types::{Id, same_secret, tags};
use portcullis_workflow::{Event, Outcome, Phase, Reason, State, Task};
use url::{Host, Url, form_urlencoded};

use super::{Open, SessionError, Sessions};

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

    /// What was found out about what the person gave, of whatever they gave last for each step.
    pub fn found(&self) -> impl Iterator<Item = &Reason> {
        self.found.values().flatten()
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

/// Where the person goes afterwards: a page, or an app that claimed a name of its own (RFC 8252, section 7.1).
pub(super) fn check_callback(text: &str) -> Result<(), SessionError> {
    let fits = Url::parse(text).is_ok_and(|url| match url.scheme() {
        "https" => url.host().is_some() && url.username().is_empty() && url.password().is_none(),
        "http" => is_loopback(&url),
        // A name in reverse has a dot, which neither `javascript` nor `data` has.
        scheme => scheme.contains('.'),
    });
    if fits && text.len() <= CALLBACK_MAX_BYTES && !text.contains('#') {
        return Ok(());
    }
    let must = "must be https, http to this machine, or com.example.app:, without a fragment";
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
