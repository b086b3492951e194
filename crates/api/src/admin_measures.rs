//! What is going on: numbers over time, and live.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use portcullis_identity::Identity;
use portcullis_store::{
    DbError,
    defence::{self, AlertFilter},
    measures::minute_of,
};
use portcullis_types::Timestamp;
use serde::Serialize;
use tokio::time::sleep;
use utoipa::ToSchema;

use crate::{
    ApiError, Told,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
    measures::{MeasuresView, Span, read},
};

/// The longest time that is shown: what is kept.
const MAX_MINUTES: i64 = 35 * 1_440;
const DEFAULT_MINUTES: i64 = 1_440;
/// Live numbers are those of so many whole minutes and the running one.
const LIVE_MINUTES: i64 = 5;
/// They are told so often, if they changed.
const LIVE_EVERY: Duration = Duration::from_secs(2);
/// Then whoever listens has to ask again, with a credential that is still good.
const LIVE_ROUNDS: u32 = 30;
/// So many may listen at once.
const LISTENERS: usize = 256;
/// And so many with one credential.
const LISTENERS_EACH: usize = 16;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/measures",
            Admin,
            "Logins, tokens, requests, refusals, latency and findings over time, and what is usual then: ?from=, ?until= (RFC 3339); \
             the last 24 hours if left out, at most 35 days",
            show,
        )
        .query(&["from", "until"])
        .returns::<MeasuresView>(StatusCode::OK),
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/measures/live",
            Admin,
            "The same for the last five minutes, again whenever it changes, as server-sent events named `now`; ends after a \
             minute, for the listener to come again",
            live,
        )
        .events()
        .returns::<LiveView>(StatusCode::OK),
    ]
}

/// What was told, and when.
type LastTold = (Timestamp, Arc<LiveView>);

/// Who listens, and what they were told last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listeners {
    places: Arc<Mutex<HashMap<String, usize>>>,
    last: Arc<tokio::sync::Mutex<Option<LastTold>>>,
}

impl Listeners {
    /// A place for one more, if there is one for them.
    fn enter(&self, who: &str) -> Option<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places.get(who).copied().unwrap_or_default();
        if own >= LISTENERS_EACH || places.values().sum::<usize>() >= LISTENERS {
            return None;
        }
        places.insert(who.to_owned(), own + 1);
        Some(Place { places: self.places.clone(), who: who.to_owned() })
    }

    /// What is going on. However many listen, it is looked up once.
    async fn now(&self, identity: &Identity) -> Result<Arc<LiveView>, DbError> {
        let mut last = self.last.lock().await;
        let at = identity.now();
        if let Some((known_at, known)) = &*last
            && at.since(*known_at) < LIVE_EVERY
            && *known_at <= at
        {
            return Ok(known.clone());
        }
        let now = Arc::new(now(identity).await?);
        *last = Some((at, now.clone()));
        Ok(now)
    }
}

/// It is given back when nobody listens any more.
struct Place {
    places: Arc<Mutex<HashMap<String, usize>>>,
    who: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = places.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                places.remove(&self.who);
            }
        }
    }
}

/// What is going on now.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct LiveView {
    /// The numbers.
    series: Vec<LiveSeriesView>,
    /// The newest finding, if there ever was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_alert: Option<String>,
}

/// One number now.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct LiveSeriesView {
    /// As in the series over time.
    name: &'static str,
    /// `per_minute`, or `ms`.
    unit: &'static str,
    /// In the last five minutes.
    value: Option<f64>,
    /// What is usual at this time of the day; none if too little is known.
    usual: Option<f64>,
}

async fn show(api: Api, call: Call) -> Reply {
    let now = api.identity.now();
    let (from, until) = call.times()?;
    let until = until.map_or(now, |until| until.min(now));
    // The minute that goes on is shown as far as it has gone.
    let until = minute_of(until) + 1;
    let from = from.map_or(until - DEFAULT_MINUTES, minute_of);
    if from >= until || until - from > MAX_MINUTES + 1 {
        return Err(ApiError::Parameter("from"));
    }
    ok(read(&api.identity.db, &api.identity.tenant, Span { from, until }).await?)
}

async fn live(api: Api, call: Call) -> Reply {
    let place = api.listeners.enter(&call.caller.id).ok_or(ApiError::Busy)?;
    let first = api.listeners.now(&api.identity).await?;
    let closing = api.reload.0.closing();
    let (identity, listeners) = (api.identity, api.listeners);
    let told = futures_util::stream::unfold(
        Listener { identity, listeners, place, closing, told: None, next: Some(first), round: 0 },
        |mut listener| async move {
            listener.tell().await.map(|text| (Ok::<_, Infallible>(text), listener))
        },
    );
    let mut response = Response::new(Body::from_stream(told));
    let kind = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response.into_response())
}

/// Somebody who listens.
struct Listener {
    identity: Identity,
    listeners: Listeners,
    #[expect(dead_code, reason = "it is given back when nobody listens any more")]
    place: Place,
    closing: Told<()>,
    told: Option<Arc<LiveView>>,
    next: Option<Arc<LiveView>>,
    round: u32,
}

impl Listener {
    /// What is sent next; nothing if that was all.
    async fn tell(&mut self) -> Option<Bytes> {
        let next = match self.next.take() {
            Some(first) => first,
            None => {
                self.round += 1;
                if self.round > LIVE_ROUNDS {
                    return None;
                }
                tokio::select! {
                    () = sleep(LIVE_EVERY) => {}
                    _ = &mut self.closing => return None,
                }
                self.listeners.now(&self.identity).await.ok()?
            }
        };
        if self.told.as_ref() == Some(&next) {
            // A comment: whoever went away is noticed by it.
            return Some(Bytes::from_static(b":\n\n"));
        }
        let text = format!("event: now\ndata: {}\n\n", serde_json::to_string(&*next).ok()?);
        self.told = Some(next);
        Some(text.into())
    }
}

async fn now(identity: &Identity) -> Result<LiveView, DbError> {
    let now = identity.now();
    let minute = minute_of(now);
    let span = Span { from: minute - LIVE_MINUTES, until: minute + 1 };
    let measures = read(&identity.db, &identity.tenant, span).await?;
    let newest =
        defence::alerts(&identity.db, &identity.tenant, AlertFilter::default(), ("", 1)).await?;
    Ok(LiveView {
        series: measures.series.into_iter().map(|series| live_series(&series, now)).collect(),
        newest_alert: newest.first().map(|alert| alert.id.to_string()),
    })
}

/// The running minute counts as far as it has gone.
fn live_series(series: &crate::measures::SeriesView, now: Timestamp) -> LiveSeriesView {
    let gone = now.since(Timestamp::from_secs(minute_of(now) * 60)).as_secs_f64() / 60.0;
    #[expect(clippy::cast_precision_loss, reason = "it is five")]
    let whole = LIVE_MINUTES as f64;
    let (unit, value, usual) = match series.unit {
        "count" => ("per_minute", whole + gone, whole + 1.0),
        unit => (unit, 1.0, 1.0),
    };
    LiveSeriesView {
        name: series.name,
        unit,
        value: series.total.map(|total| total / value),
        usual: series.usual_total.map(|total| total / usual),
    }
}
