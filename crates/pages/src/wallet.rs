//! Credentials in wallets: what its owner sees of them, an offer for another one, and the end of one.

use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::Recent;
use portcullis_oidc::OfferError;
use portcullis_texts::t;

use crate::{
    Pages,
    account::minutes,
    filters,
    form::{Form, Visit, read_form},
    qr,
    security::recently_for,
    view::{self, Page},
};

const HERE: &str = "/account/wallet";

#[derive(Template)]
#[template(path = "wallet.html")]
struct WalletPage<'a> {
    csrf: String,
    notice: Option<(&'a str, &'a str)>,
    credentials: Vec<Row>,
    /// Whether there are more.
    offers: bool,
}

struct Row {
    id: String,
    wallet: String,
    issued: String,
    ends: String,
    is_revoked: bool,
}

#[derive(Template)]
#[template(path = "wallet_offer.html")]
struct OfferPage<'a> {
    uri: &'a str,
    qr: Option<String>,
    email: &'a str,
}

/// `GET /account/wallet`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let who = recently_for(&pages, &visit, HERE).await?;
        render(&pages, &visit, &who, StatusCode::OK, None).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/wallet`: an offer, shown once.
pub(crate) async fn offer(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let (account, origin) = (who.account(), &form.visit.origin);
        let text = match pages.provider.offer_credential(account, who.session(), origin).await {
            Ok(offer) => {
                let (uri, email) = (&offer.uri[..], &account.email[..]);
                let page = OfferPage { uri, qr: qr::picture(uri), email };
                return Ok(view::page(StatusCode::OK, &page, None));
            }
            Err(OfferError::Failed(error)) => return Err(view::not_now(&error)),
            Err(OfferError::Off) => return Err(view::not_found()),
            Err(OfferError::NotVerified) => "Nobody has verified who you are.",
            Err(OfferError::TooMany) => "You had many codes just now. Try again in an hour.",
        };
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        render(&pages, &form.visit, &who, status, Some(("bad", text))).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/wallet/revoke`
pub(crate) async fn revoke(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let id = form.text("credential").parse().map_err(|_| view::bad_request())?;
        let revoked = pages.provider.revoke_credential(who.account(), id, &form.visit.origin);
        let notice = match revoked.await.map_err(|error| view::failed(&error))? {
            true => {
                ("good", "It counts no longer. Whoever is shown it learns that within minutes.")
            }
            false => ("bad", "It counted no longer."),
        };
        render(&pages, &form.visit, &who, StatusCode::OK, Some(notice)).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn open(pages: &Pages, request: Request) -> Result<(Form, Recent), Page> {
    let form = read_form(pages, request).await?;
    let who = recently_for(pages, &form.visit, HERE).await?;
    Ok((form, who))
}

async fn render(
    pages: &Pages,
    visit: &Visit,
    who: &Recent,
    status: StatusCode,
    notice: Option<(&str, &str)>,
) -> Result<Page, Page> {
    let held = pages.provider.held_credentials(who.account().id).await;
    let held = held.map_err(|error| view::failed(&error))?;
    let offers = pages.provider.issues_credentials();
    // What was issued before can be ended, also where nothing more is.
    if !offers && held.is_empty() {
        return Err(view::not_found());
    }
    let mut credentials = Vec::with_capacity(held.len());
    for one in held {
        let client = pages.provider.client(&one.client_id).await;
        let client = client.map_err(|error| view::not_now(&error))?;
        credentials.push(Row {
            id: one.id.to_string(),
            wallet: client.map_or(one.client_id, |client| client.name.clone()),
            issued: minutes(one.issued_at),
            ends: minutes(one.expires_at),
            is_revoked: one.is_revoked,
        });
    }
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let notice = notice.map(|(tone, text)| (tone, t(text)));
    Ok(view::page(status, &WalletPage { csrf, notice, credentials, offers }, cookie))
}
