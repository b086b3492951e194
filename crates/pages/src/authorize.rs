use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::{Method, StatusCode};
use portcullis_oidc::{
    AuthorizationRequest, AuthorizeError, Client, ErrorCode, LogoutError, Missing, Need,
    OAuthError, Params, Prompt, VERIFIED_LOGIN,
};
use portcullis_store::{accounts::Account, sessions::Session};
use portcullis_texts::{t, tf};
use portcullis_verification::SessionError;

use crate::{
    Pages, filters,
    form::{SESSION_COOKIE, Visit, clear_cookie, read_form, read_params},
    login::end_current,
    passkey, verify,
    view::{self, FormPage, Message, Page},
};

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    pub csrf: String,
    pub action: &'a str,
    pub client: &'a str,
    pub username: &'a str,
    pub scopes: Vec<&'a str>,
    /// What the client says about itself: where, and in which words.
    pub links: Vec<(&'a str, &'a str)>,
    /// What the device shows, if one asks.
    pub user_code: Option<&'a str>,
    pub hidden: Vec<(&'a str, &'a str)>,
}

/// `GET` and `POST /oauth2/authorize` (OpenID Connect Core, section 3.1.2.1).
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let params = if request.method() == Method::POST {
            read_params(request).await?
        } else {
            visit.query.clone()
        };
        let asked = read(&pages, &params).await?;
        let visitor = pages.visitor(&visit).await?;
        let silent = asked.prompt.contains(&Prompt::None);
        if let Some(first) = first(&pages, &asked, visitor.as_ref(), silent).await? {
            return Ok(first);
        }
        let Some((session, account)) = visitor else {
            return Ok(to_login(&asked));
        };
        // Whether somebody is verified is told to nobody whom they have not allowed it.
        let needs = pages.provider.needs_consent(&asked, &account).await;
        let needs = needs.map_err(|error| failed(&error))?;
        if !needs
            && let Some(first) =
                verified(&pages, &visit, &asked, (&session, &account), silent).await?
        {
            return Ok(first);
        }
        match needs {
            false => finish(&pages, &visit, &asked, &account, &session, false).await,
            true if silent => Ok(away(&pages.provider.deny(&asked, ErrorCode::ConsentRequired))),
            true => Ok(ask(&pages, &visit, &asked, &account)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /oauth2/consent`: the stored answer is not trusted, the request is checked again.
pub(crate) async fn consent(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let params = form.params.clone().without("csrf").without("decision");
        let asked = read(&pages, &params).await?;
        let Some((session, account)) = pages.visitor(&form.visit).await? else {
            return Ok(to_login(&asked));
        };
        let visitor = (session, account);
        if let Some(first) = first(&pages, &asked, Some(&visitor), false).await? {
            return Ok(first);
        }
        let (session, account) = visitor;
        if form.params.get("decision") != Some("allow") {
            return Ok(away(&pages.provider.deny(&asked, ErrorCode::AccessDenied)));
        }
        if let Some(first) =
            verified(&pages, &form.visit, &asked, (&session, &account), false).await?
        {
            let remembered =
                pages.provider.remember_consent(&asked, &account, &form.visit.origin).await;
            remembered.map_err(|error| view::not_now(&error))?;
            return Ok(first);
        }
        finish(&pages, &form.visit, &asked, &account, &session, true).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET` and `POST /oauth2/logout` (OpenID Connect RP-Initiated Logout 1.0).
pub(crate) async fn logout(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let confirmed = request.method() == Method::POST;
        let params = if confirmed { read_params(request).await? } else { visit.query.clone() };
        // A form on the client's page comes without our cookies (SameSite=Lax); a link does not.
        if confirmed && params.get("csrf").is_none() {
            return Ok(view::see_other(&format!("/oauth2/logout?{}", params.to_query()), None));
        }
        let asked = pages.provider.logout_request(&params).await.map_err(|error| match error {
            LogoutError::Page(error) => refused(&error),
            LogoutError::Failed(error) => refused(&error.public()),
        })?;
        let visitor = pages.visitor(&visit).await?;
        let own = match (&visitor, &asked.session) {
            (None, _) => true,
            (Some((session, _)), Some(named)) => session.id.to_string() == *named,
            (Some(_), None) => false,
        };
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let agreed = cookie.is_none() && params.get("csrf") == Some(csrf.as_str());
        if !own && !agreed {
            return Ok(ask_to_leave(&params, csrf, cookie, asked.client.as_deref()));
        }
        end_current(&pages, &visit).await?;
        let gone = clear_cookie(SESSION_COOKIE);
        let to = asked.return_to.as_deref().unwrap_or("/logged-out");
        Ok(view::see_other(to, Some(gone)))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET /logged-out`
pub(crate) async fn left() -> impl IntoResponse {
    let link = Some(("/login", "Log in"));
    let text = "You can close this page.";
    view::message(
        StatusCode::OK,
        &Message { title: "You are logged out", tone: "good", text, link },
    )
}

/// Where the person must go before the request can be answered, if anywhere.
async fn first(
    pages: &Pages,
    asked: &AuthorizationRequest,
    visitor: Option<&(Session, Account)>,
    silent: bool,
) -> Result<Option<Page>, Page> {
    let factors = match visitor {
        Some((_, account)) => {
            Some(pages.identity.factors(account).await.map_err(|e| view::failed(&e))?)
        }
        None => None,
    };
    let session = visitor.map(|(session, _)| session).zip(factors.as_ref());
    let deny = |error| Some(away(&pages.provider.deny(asked, error)));
    Ok(match pages.provider.needs(asked, session) {
        Need::Nothing => None,
        Need::Unmet => deny(ErrorCode::UnmetAuthenticationRequirements),
        Need::Login | Need::Factor { .. } if silent => deny(ErrorCode::LoginRequired),
        Need::Login => Some(to_login(asked)),
        Need::Factor { passkey } => Some(to_factor(asked, passkey)),
    })
}

/// Where the person must go to be verified before the request can be answered, if they must.
async fn verified(
    pages: &Pages,
    visit: &Visit,
    asked: &AuthorizationRequest,
    (session, account): (&Session, &Account),
    silent: bool,
) -> Result<Option<Page>, Page> {
    let unproven = pages.provider.unproven(asked, session).await;
    let unproven = unproven.map_err(|error| view::not_now(&error))?;
    let Some((rule, missing)) = unproven else { return Ok(None) };
    let deny = |error| Ok(Some(away(&pages.provider.deny(asked, error))));
    if silent {
        return deny(ErrorCode::InteractionRequired);
    }
    let back = format!("/oauth2/authorize?{}", repeated(asked).to_query());
    if missing != Missing::Verification {
        pages.provider.hold(asked).await.map_err(|error| view::not_now(&error))?;
        return Ok(Some(passkey::ask(&rule, &back)));
    }
    let open = match verify::of_owner(pages, visit, (session, account), &rule).await {
        Ok(Some(open)) => open,
        Ok(None) => return deny(ErrorCode::UnmetAuthenticationRequirements),
        // The workflow is not there, or needs what nobody who logs in can give.
        Err(error @ (SessionError::NotPublished | SessionError::Invalid(..))) => {
            let acr = &rule.acr;
            tracing::error!(acr, workflow = rule.workflow, %error, "nobody can be verified");
            return deny(ErrorCode::TemporarilyUnavailable);
        }
        Err(error) => return Err(view::not_now(&error)),
    };
    pages.provider.hold(asked).await.map_err(|error| view::not_now(&error))?;
    Ok(Some(view::see_other(&verify::link(pages, &open, &back), None)))
}

fn ask_to_leave(
    params: &Params,
    csrf: String,
    cookie: Option<String>,
    client: Option<&str>,
) -> Page {
    let intro = client.map(|client| tf("{0} asks you to log out here as well.", &[client]));
    let form = FormPage {
        title: "Log out?",
        intro: intro.as_deref(),
        alert: None,
        action: "/oauth2/logout",
        csrf,
        hidden: params.iter().filter(|(name, _)| *name != "csrf").collect(),
        fields: Vec::new(),
        button: "Log out",
        link: Some(("/account", "Your account")),
    };
    view::redirecting_page(StatusCode::OK, &form, cookie)
}

async fn read(pages: &Pages, params: &Params) -> Result<AuthorizationRequest, Page> {
    pages.provider.authorization_request(params).await.map_err(|error| failed(&error))
}

async fn finish(
    pages: &Pages,
    visit: &Visit,
    asked: &AuthorizationRequest,
    account: &Account,
    session: &Session,
    consented: bool,
) -> Result<Page, Page> {
    let to = pages.provider.grant(asked, account, session, consented, &visit.origin).await;
    to.map(|to| away(&to)).map_err(|error| failed(&error))
}

/// The request as it comes back, without the wish to log in again.
fn repeated(asked: &AuthorizationRequest) -> Params {
    let mut params = asked.params.clone();
    if asked.prompt.contains(&Prompt::Login) {
        params = params.without("prompt");
        if asked.prompt.contains(&Prompt::Consent) {
            params = params.with("prompt", "consent");
        }
    }
    // "Not older than now" is another way to ask for a login.
    if asked.max_age.is_some_and(|age| age.is_zero()) {
        params = params.without("max_age");
    }
    params
}

/// After the login the request comes back.
fn to_login(asked: &AuthorizationRequest) -> Page {
    let back = format!("/oauth2/authorize?{}", repeated(asked).to_query());
    let mut query = Params::default().with("return_to", &back);
    if let Some(hint) = &asked.login_hint {
        query = query.with("login_hint", hint);
    }
    let query = query.to_query();
    view::see_other(&format!("/login?{query}"), None)
}

/// To the page that asks for a further factor, and back.
fn to_factor(asked: &AuthorizationRequest, passkey: bool) -> Page {
    let back = format!("/oauth2/authorize?{}", asked.params.to_query());
    let mut query = Params::default().with("return_to", &back);
    if passkey {
        query = query.with("passkey", "1");
    }
    view::see_other(&format!("/login/second?{}", query.to_query()), None)
}

fn away(to: &str) -> Page {
    view::see_other(to, None)
}

fn ask(pages: &Pages, visit: &Visit, asked: &AuthorizationRequest, account: &Account) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let page = ConsentPage {
        csrf,
        action: "/oauth2/consent",
        user_code: None,
        client: &asked.client.name,
        username: &account.username,
        scopes: asked.disclosed(account).into_iter().map(in_words).collect(),
        links: links(&asked.client),
        // The consent that is given must not ask for itself again.
        hidden: asked
            .params
            .iter()
            .filter(|(name, _)| !["prompt", "csrf", "decision"].contains(name))
            .collect(),
    };
    view::redirecting_page(StatusCode::OK, &page, cookie)
}

/// Where people can read more about a client.
pub(crate) fn links(client: &Client) -> Vec<(&str, &str)> {
    let settings = &client.settings;
    let known = [
        (&settings.client_uri, "About this application"),
        (&settings.policy_uri, "What it does with your data"),
        (&settings.tos_uri, "Its terms"),
    ];
    known.into_iter().filter_map(|(uri, text)| uri.as_deref().map(|uri| (uri, text))).collect()
}

pub(crate) fn in_words(scope: &str) -> &str {
    match scope {
        "openid" => "know who you are",
        VERIFIED_LOGIN => "know whether you were verified, which you may have to be first",
        "profile" => "see and use your profile",
        "email" => "see your e-mail address",
        "groups" => "see which groups you are in",
        "roles" => "see your roles",
        "verified_claims" => {
            "see who you are by your documents: name, date of birth, nationality and document"
        }
        "verified_person" => {
            "keep a proof of who you are by your documents: name, date of birth, nationality and document"
        }
        "offline_access" => "act for you while you are away",
        "account" => "manage your account",
        "admin" => "administer this installation",
        "aml" => "screen people and companies, and decide about hits",
        "idv" => "verify people and their documents",
        other => other,
    }
}

fn failed(error: &AuthorizeError) -> Page {
    match error {
        AuthorizeError::Page(error) => refused(error),
        AuthorizeError::Redirect(to) => away(to),
        AuthorizeError::Failed(error) => {
            tracing::error!(error = error as &dyn std::error::Error, "authorization failed");
            refused(&error.public())
        }
    }
}

pub(crate) fn refused(error: &OAuthError) -> Page {
    let why = t(error.error_description);
    let text = format!("{} ({}).", capital(why), error.error.as_str());
    let title = "The request cannot be followed";
    view::message(error.error.status(), &Message { title, tone: "bad", text: &text, link: None })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
