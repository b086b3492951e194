use axum::{
    extract::{Path, Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_verification::{BrowserFacts, Open, SessionError, ToldDevice};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{failed, holder, read};
use crate::{
    Pages,
    form::{Visit, read_json},
    view::{self, Page},
};

/// What the script of the page says of its browser.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "csrf")]
    _csrf: Value,
    device: ToldDevice,
}

/// What a browser says of itself with a request.
pub(super) fn browser(visit: &Visit) -> BrowserFacts {
    let ja4 = visit.origin.ja4.as_deref().map(str::to_owned);
    BrowserFacts { ja4, ..BrowserFacts::new(|name| visit.header(name)) }
}

/// Remembers from where and with what somebody goes through a session.
pub(super) async fn saw(pages: &Pages, open: &Open, visit: &Visit) -> Result<(), Page> {
    let saw = pages.sessions.saw(open, visit.origin.addr, &browser(visit)).await;
    saw.map_err(|error| failed(&error))
}

/// What the browser of this page is to sign, where a workflow looks at devices.
pub(super) fn challenge(pages: &Pages, open: &Open, csrf: &str) -> Option<String> {
    open.plan.looks_at_devices().then(|| pages.sessions.device_challenge(open.row.id, csrf))
}

/// `POST /verify/{id}/device`: the key of a browser, and what a script reads there.
pub(crate) async fn meet(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let (visit, body) = read_json(&pages, request).await?;
        // A list would do for a structure as well.
        let told = Some(body).filter(|body| body["device"].is_object());
        let told = told.and_then(|body| serde_json::from_value::<Told>(body).ok());
        let told = told.ok_or_else(view::bad_request)?;
        let open = read(&pages, holder(&pages, &visit, &id)?).await?;
        if open.plan.looks_at_devices() {
            let secret = visit.csrf_token().unwrap_or_default();
            let met = pages.sessions.met(&open, &told.device, (browser(&visit), secret)).await;
            match met {
                Ok(()) => {}
                Err(SessionError::Invalid(..)) => return Err(view::bad_request()),
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(view::json(StatusCode::OK, &json!({})))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}
