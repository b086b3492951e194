use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{FieldError, IdentityError};

use crate::{
    Pages,
    form::{Visit, read_form},
    view::{self, Field, FormPage, Message, Page},
};

/// `GET /forgot-password`
pub(crate) async fn show_forgot(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move { Ok(forgot_page(&pages, &Visit::read(&request)?, "", &[])) };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /forgot-password`
pub(crate) async fn forgot(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let email = form.text("email");
        match pages.identity.request_reset(email, &form.visit.origin).await {
            Ok(()) => {
                let text = "If there is an account for this address, we have sent a link to it.";
                let done = Message { title: "Check your mail", tone: "good", text, link: None };
                Ok(view::message(StatusCode::OK, &done))
            }
            Err(IdentityError::Invalid(errors)) => {
                Ok(forgot_page(&pages, &form.visit, email, &errors))
            }
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn forgot_page(pages: &Pages, visit: &Visit, email: &str, errors: &[FieldError]) -> Page {
    let field = Field::new("email", "E-mail address", "email", "email").value(email).errors(errors);
    let form = FormPage {
        title: "Reset your password",
        intro: Some("We will send you a link to choose a new password."),
        alert: None,
        action: "/forgot-password",
        csrf: String::new(),
        hidden: Vec::new(),
        fields: vec![field],
        button: "Send link",
        link: Some(("/login", "Log in")),
    };
    show(pages, visit, form, errors)
}

/// `GET /reset-password`
pub(crate) async fn show_reset(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let token = visit.query.get("token").ok_or_else(view::dead_link)?;
        let works = pages.identity.reset_link_works(token).await.map_err(|e| view::failed(&e))?;
        if works { Ok(reset_page(&pages, &visit, token, &[])) } else { Err(view::dead_link()) }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /reset-password`
pub(crate) async fn reset(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let (token, password) = (form.text("token"), form.secret("password"));
        match pages.identity.reset_password(token, &password, &form.visit.origin).await {
            Ok(()) => {
                let text = "Your password is set. All sessions were ended.";
                let link = Some(("/login", "Log in"));
                let done = Message { title: "Done", tone: "good", text, link };
                Ok(view::message(StatusCode::OK, &done))
            }
            Err(IdentityError::Invalid(errors)) => {
                Ok(reset_page(&pages, &form.visit, token, &errors))
            }
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn reset_page(pages: &Pages, visit: &Visit, token: &str, errors: &[FieldError]) -> Page {
    let field = Field::new("password", "New password", "password", "new-password")
        .hint("At least 15 characters; a few unrelated words do well")
        .errors(errors);
    let form = FormPage {
        title: "Choose a new password",
        intro: None,
        alert: None,
        action: "/reset-password",
        csrf: String::new(),
        hidden: vec![("token", token)],
        fields: vec![field],
        button: "Set password",
        link: Some(("/login", "Log in")),
    };
    show(pages, visit, form, errors)
}

/// `GET /confirm-email`
pub(crate) async fn show_confirm(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let token = visit.query.get("token").ok_or_else(view::dead_link)?;
        let form = FormPage {
            title: "Confirm your new e-mail address",
            intro: Some("Press the button to make this the address of your account."),
            alert: None,
            action: "/confirm-email",
            csrf: String::new(),
            hidden: vec![("token", token)],
            fields: Vec::new(),
            button: "Confirm",
            link: Some(("/login", "Log in")),
        };
        Ok(show(&pages, &visit, form, &[]))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /confirm-email`
pub(crate) async fn confirm(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let confirmed =
            pages.identity.confirm_email_change(form.text("token"), &form.visit.origin).await;
        confirmed.map_err(|error| view::failed(&error))?;
        let text = "This is the address of your account now.";
        let link = Some(("/account", "Your account"));
        Ok(view::message(StatusCode::OK, &Message { title: "Done", tone: "good", text, link }))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn show(pages: &Pages, visit: &Visit, form: FormPage<'_>, errors: &[FieldError]) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    view::page(status, &FormPage { csrf, ..form }, cookie)
}
