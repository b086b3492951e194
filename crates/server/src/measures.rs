//! What happens, counted by the minute for charts. It is counted where the detectors look, so that no request pays
//! for it, and stored a little later: all nodes add to the same rows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use portcullis_events::{Event, Kind, Stage};
use portcullis_store::measures::{self, Bucket, Counts, Measure, minute_of};
use portcullis_types::DEFAULT_TENANT;

use crate::app::App;

/// Minutes that wait while the database is away; beyond them the oldest are given up.
const WAITING_MINUTES: usize = 1_440;
/// What proves who a client is, which is no login of a person.
const CLIENT_DOOR: &str = "token";

/// What was counted and not stored.
#[derive(Default)]
pub struct Minutes(Mutex<BTreeMap<i64, Counts>>);

impl Minutes {
    /// Counts events in the minutes in which they happened.
    pub fn count(&self, events: &[Arc<Event>]) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            count(event, minutes.entry(minute_of(event.time)).or_default());
        }
        while minutes.len() > WAITING_MINUTES {
            minutes.pop_first();
        }
    }

    fn take(&self) -> BTreeMap<i64, Counts> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, taken: impl IntoIterator<Item = Bucket>) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Bucket { minute, counts } in taken {
            minutes.entry(minute).or_default().add(&counts);
        }
    }
}

fn count(event: &Event, counts: &mut Counts) {
    let success = event.outcome.is_success();
    match &event.kind {
        Kind::Login(attempt) if attempt.door == CLIENT_DOOR => {}
        Kind::Login(_) if success => counts.count(Measure::Logins),
        Kind::Login(_) => counts.count(Measure::LoginFailures),
        Kind::Token(token) if success && issues(token.operation) => counts.count(Measure::Tokens),
        Kind::Alert(_) => counts.count(Measure::Alerts),
        Kind::Request(seen) => {
            counts.count(Measure::Requests);
            counts.took(u64::try_from(seen.latency.as_micros()).unwrap_or(u64::MAX));
            if seen.refused_at.is_some() {
                counts.count(Measure::Refused);
            }
            if seen.refused_at == Some(Stage::BlockList) {
                counts.count(Measure::Blocked);
            }
            if seen.status >= 500 {
                counts.count(Measure::ServerErrors);
            }
        }
        _ => {}
    }
}

fn issues(operation: &str) -> bool {
    matches!(operation, "issue" | "refresh" | "exchange")
}

/// Stores what was counted since the last time.
pub async fn store(app: &App) -> Result<()> {
    let taken = app.traffic.minutes.take().into_iter();
    // Most events are of nothing that is counted.
    let counted = taken.filter(|(_, counts)| *counts != Counts::default());
    let buckets: &Vec<Bucket> =
        &counted.map(|(minute, counts)| Bucket { minute, counts }).collect();
    if buckets.is_empty() {
        return Ok(());
    }
    let stored = app
        .identity
        .db
        .write(|tx| async move {
            for bucket in buckets {
                measures::add(&tx, DEFAULT_TENANT, bucket).await?;
            }
            Ok::<_, portcullis_store::DbError>(())
        })
        .await;
    if stored.is_err() {
        app.traffic.minutes.give_back(buckets.iter().copied());
    }
    Ok(stored?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_events::{Actor, LoginAttempt, Outcome, RequestSeen, TokenOperation};
    use portcullis_types::{Id, Timestamp};

    use super::*;

    fn event(secs: i64, kind: Kind, success: bool) -> Arc<Event> {
        let outcome = if success { Outcome::Success } else { Outcome::Failure("x") };
        let at = Timestamp::from_secs(secs);
        Arc::new(Event::new(Id::from_bits(1), at, None, Actor::Anonymous, outcome, kind))
    }

    fn login(door: &'static str) -> Kind {
        Kind::Login(LoginAttempt { factor: "password", door, ..LoginAttempt::default() })
    }

    fn request(status: u16, refused_at: Option<Stage>) -> Kind {
        let latency = Duration::from_millis(3);
        Kind::Request(RequestSeen { status, latency, refused_at, ..RequestSeen::default() })
    }

    fn token(operation: &'static str) -> Kind {
        Kind::Token(TokenOperation { operation, ..TokenOperation::default() })
    }

    #[test]
    fn each_event_counts_in_its_minute_and_for_what_it_is() {
        let minutes = Minutes::default();
        minutes.count(&[
            event(0, login("login"), true),
            event(59, login("login"), false),
            event(59, login("token"), false),
            event(60, token("issue"), true),
            event(60, token("issue"), false),
            event(61, token("introspect"), true),
            event(61, request(200, None), true),
            event(61, request(503, None), false),
            event(62, request(403, Some(Stage::BlockList)), false),
            event(62, request(401, Some(Stage::Authenticate)), false),
        ]);
        let counted = minutes.take();
        let of = |minute: i64| Measure::ALL.map(|measure| counted[&minute].get(measure));
        assert_eq!(of(0), [1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of(1), [0, 0, 1, 4, 2, 1, 1, 0]);
        // Three milliseconds are more than the third bound and less than the fourth.
        assert_eq!(counted[&1].latency()[..5], [0, 0, 0, 4, 0]);
        assert!(minutes.take().is_empty());

        minutes.give_back([Bucket { minute: 1, counts: counted[&1] }]);
        minutes.count(&[event(60, login("login"), true)]);
        assert_eq!(minutes.take()[&1].get(Measure::Requests), 4);
    }

    #[test]
    fn a_database_that_is_away_does_not_fill_the_memory() {
        let minutes = Minutes::default();
        for minute in 0..2_000 {
            minutes.count(&[event(minute * 60, login("login"), true)]);
        }
        let kept = minutes.take();
        assert_eq!((kept.len(), kept.keys().next()), (WAITING_MINUTES, Some(&560)));
    }
}
