//! What every page knows of its request: the language, the look, and where it is.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, header};
use portcullis_oidc::Params;
use portcullis_texts::{Lang, speaking};

use crate::{
    Pages, Theme,
    form::{Visit, set_cookie},
    view::{self, Page},
};

/// The language that somebody chose.
const LANGUAGE_COOKIE: &str = "__Host-portcullis_language";
/// Where a page leads back to is at most this long.
const MAX_PATH_CHARS: usize = 4_096;

#[derive(Clone)]
struct Ui {
    theme: Arc<Theme>,
    here: String,
}

tokio::task_local! {
    static UI: Ui;
}

/// Finds out what somebody reads, for everything that the request does: pages, and mails it sends.
pub(crate) async fn layer(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let Ok(visit) = Visit::read(&request) else { return view::bad_request().into_response() };
    let field = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
    let wished = wished(&visit.query);
    let lang = wished
        .or_else(|| visit.cookie(LANGUAGE_COOKIE).and_then(Lang::of_tag))
        .or_else(|| field.and_then(Lang::of_accept_language))
        .unwrap_or_default();
    let here = request.uri().path_and_query().map(|path| path.as_str().to_owned());
    let here = here.filter(|_| request.method() == Method::GET).unwrap_or_default();
    let ui = Ui { theme: pages.theme.clone(), here };
    let mut response = UI.scope(ui, speaking(lang, next.run(request))).await;
    // What a client asked for holds on the pages that follow.
    if let Some(lang) = wished
        && let Ok(cookie) = set_cookie(LANGUAGE_COOKIE, lang.tag()).parse()
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// `ui_locales` (OpenID Connect Core, section 3.1.2.1), of this request or of the one that leads
/// here.
fn wished(query: &Params) -> Option<Lang> {
    let own = query.get("ui_locales").map(str::to_owned);
    let behind = || {
        let (_, query) = query.get("return_to")?.split_once('?')?;
        Params::parse(query.as_bytes()).ok()?.get("ui_locales").map(str::to_owned)
    };
    Lang::of_list(&own.or_else(behind)?)
}

/// `GET /language`: another language from now on.
pub(crate) async fn choose(request: Request) -> impl IntoResponse {
    let visit = Visit::read(&request)?;
    let lang = visit.query.get("to").and_then(Lang::of_tag).ok_or_else(view::bad_request)?;
    let back = visit.query.get("return").filter(|path| is_own_path(path)).unwrap_or("/account");
    Ok::<_, Page>(view::see_other(&unwished(back), Some(chosen(lang))))
}

/// A path without the language that somebody else asked for: the person has chosen.
fn unwished(path: &str) -> String {
    if !path.contains("ui_locales") {
        return path.to_owned();
    }
    let Some((place, query)) = path.split_once('?') else { return path.to_owned() };
    let Ok(mut query) = Params::parse(query.as_bytes()) else { return path.to_owned() };
    query = query.without("ui_locales");
    if let Some(behind) = query.get("return_to").map(unwished) {
        query = query.without("return_to").with("return_to", &behind);
    }
    format!("{place}?{}", query.to_query())
}

/// The cookie that keeps a choice.
pub(crate) fn chosen(lang: Lang) -> String {
    // A year; it says nothing but a language.
    format!("{}; Max-Age=31536000", set_cookie(LANGUAGE_COOKIE, lang.tag()))
}

/// A path here and nowhere else: no second slash, which would begin a host, and no control.
fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= MAX_PATH_CHARS
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// `GET /assets/theme.css`
pub(crate) async fn theme_css(State(pages): State<Pages>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, pages.theme.css.clone()).into_response()
}

/// `GET /assets/logo`
pub(crate) async fn logo(State(pages): State<Pages>) -> Response {
    let Some((kind, bytes)) = &pages.theme.logo else {
        return http::StatusCode::NOT_FOUND.into_response();
    };
    let kind = HeaderValue::from_static(kind);
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, bytes.clone()).into_response()
}

/// The tag of the language, for the page's root.
pub(crate) fn lang_tag() -> &'static str {
    portcullis_texts::current().tag()
}

/// What can be chosen.
pub(crate) fn languages() -> [Lang; 4] {
    Lang::ALL
}

/// What the installation is called.
pub(crate) fn brand() -> String {
    UI.try_with(|ui| ui.theme.name.clone()).unwrap_or_else(|_| Theme::default().name)
}

/// Whether it has a picture.
pub(crate) fn has_logo() -> bool {
    UI.try_with(|ui| ui.theme.logo.is_some()).unwrap_or_default()
}

/// This page, to come back to after another language was chosen; empty after a form.
pub(crate) fn here() -> String {
    UI.try_with(|ui| ui.here.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_chose_is_not_asked_for_again() {
        assert_eq!(unwished("/login"), "/login");
        assert_eq!(unwished("/verify?token=a.b&ui_locales=de"), "/verify?token=a.b");
        let behind = unwished("/login?return_to=%2Foauth2%2Fauthorize%3Fui_locales%3Dde%26a%3Db");
        assert_eq!(behind, "/login?return_to=%2Foauth2%2Fauthorize%3Fa%3Db");
        assert_eq!(unwished("/x?a=1&a=2"), "/x?a=1&a=2");
    }

    #[test]
    fn a_choice_of_language_leads_nowhere_else() {
        for own in ["/login", "/login?return_to=/account", "/"] {
            assert!(is_own_path(own), "{own}");
        }
        for other in
            ["", "login", "//evil.example", "/\\evil.example", "https://evil", "/a\nb", "/é"]
        {
            assert!(!is_own_path(other), "{other}");
        }
    }
}
