use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{Acceptance, FieldError, IdentityError};
use portcullis_texts::tf;

use crate::{
    Pages,
    form::{Visit, read_form},
    login::{browser, enter},
    register::NAME_HINT,
    view::{self, Field, FormPage, Page},
};

/// `GET /invitation`: asks for what the person chooses.
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let token = visit.query.get("token").ok_or_else(view::dead_link)?;
        render(&pages, &visit, token, "", &[]).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /invitation`: the account begins, and its owner is in.
pub(crate) async fn accept(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let (token, visit) = (form.text("token"), &form.visit);
        let acceptance = Acceptance {
            username: form.text("username").to_owned(),
            password: form.secret("password"),
        };
        // Whoever is logged in here as somebody else leaves that session.
        let visitor = pages.visitor(visit).await?;
        let browser = browser(visit, visitor.as_ref());
        let identity = &pages.identity;
        match identity.accept_invitation(token, &acceptance, browser, &visit.origin).await {
            Ok(entered) if acceptance.password.expose().is_empty() => {
                Ok(enter(&entered, "/account/security"))
            }
            Ok(entered) => Ok(enter(&entered, "/account")),
            Err(IdentityError::Invalid(errors)) => {
                render(&pages, visit, token, &acceptance.username, &errors).await
            }
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn render(
    pages: &Pages,
    visit: &Visit,
    token: &str,
    username: &str,
    errors: &[FieldError],
) -> Result<Page, Page> {
    let email = pages.identity.invited_address(token).await.map_err(|e| view::failed(&e))?;
    let intro = tf("The account is for {0}.", &[&email]);
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let fields = vec![
        Field::new("username", "User name", "text", "username")
            .hint(NAME_HINT)
            .value(username)
            .errors(errors),
        Field::new("password", "Password", "password", "new-password")
            .hint("At least 15 characters; leave it empty to use a passkey, or mail")
            .optional()
            .errors(errors),
    ];
    let page = FormPage {
        title: "You are invited",
        intro: Some(&intro),
        alert: None,
        action: "/invitation",
        csrf,
        hidden: vec![("token", token)],
        fields,
        button: "Create account",
        link: Some(("/login", "Log in")),
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(view::page(status, &page, cookie))
}
