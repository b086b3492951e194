//! Sessions and tokens in the hands of two.

use std::time::Duration;

use portcullis_events::{RequestSeen, TokenOperation};
use portcullis_types::Timestamp;

use crate::{
    SessionHijack, TokenReuse,
    recent::Seen,
    sight::Sight,
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Who holds a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    network: u64,
    browser: u64,
    event: u128,
    last: Timestamp,
}

impl Kept for Session {
    const STALE: Duration = Duration::MAX;

    fn weight(&self) -> u32 {
        0
    }
}

/// Looks at what was done with a token.
pub(crate) fn token(
    sight: &Sight<'_>,
    operation: &TokenOperation,
    table: &mut Table<Session>,
    raise: &mut Raise<'_>,
) {
    let who = sight.who(&sight.event.actor);
    if operation.operation == "reuse" {
        let grant = operation.grant.as_deref().unwrap_or_default();
        let subject = sight.text(b'g', grant);
        raise.raise(&TokenReuse::RULE, subject, || Found {
            accounts: who.map(|who| who.id).into_iter().collect(),
            session: operation.grant.clone(),
            description: format!("A {} was used a second time.", operation.grant_type),
            ..Found::default()
        });
    } else if operation.operation == "refresh"
        && let Some(grant) = &operation.grant
    {
        used(sight, grant, table, raise);
    }
}

/// Looks at a request under a session.
pub(crate) fn request(
    sight: &Sight<'_>,
    seen: &RequestSeen,
    table: &mut Table<Session>,
    raise: &mut Raise<'_>,
) {
    if let Some(session) = &seen.session {
        used(sight, session, table, raise);
    }
}

/// A phone changes its network and a browser its version, but not both between two requests.
fn used(sight: &Sight<'_>, session: &str, table: &mut Table<Session>, raise: &mut Raise<'_>) {
    let Some(addr) = sight.addr() else { return };
    let (network, browser) = (sight.network(addr.key().into()), sight.agent());
    let key = sight.text(b'g', session);
    let window = raise.rules.session_hijack.window.0;
    let held = table.entry(key, sight.now);
    let known = held.browser != 0 && browser != 0 && held.last > sight.ago(window);
    if known && held.network != network && held.browser != browser {
        let before = Seen { event: held.event, first: held.last, ..Seen::default() };
        let who = sight.who(&sight.event.actor);
        raise.raise(&SessionHijack::RULE, key, || Found {
            accounts: who.map(|who| who.id).into_iter().collect(),
            seen: vec![before],
            session: Some(session.to_owned()),
            description: format!(
                "One session was used from two networks with two browsers within {} s.",
                sight.now.since(before.first).as_secs()
            ),
            ..Found::default()
        });
        return;
    }
    *held = Session { network, browser, event: sight.id, last: sight.now };
}
