use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{Confirmed, FieldError, IdentityError, Registration};

use crate::{
    Pages,
    form::{Visit, read_form},
    view::{self, Field, FormPage, Message, Page},
};

pub(crate) const NAME_HINT: &str = "3 to 32 letters a to z, digits, and single . _ - between them";

/// `GET /register`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move { Ok(render(&pages, &Visit::read(&request)?, "", "", &[])) };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /register`
pub(crate) async fn submit(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let registration = Registration {
            username: form.text("username").to_owned(),
            email: form.text("email").to_owned(),
            password: form.secret("password"),
        };
        match pages.identity.register(&registration, &form.visit.origin).await {
            Ok(()) => Ok(sent()),
            Err(IdentityError::Invalid(errors)) => {
                let Registration { username, email, .. } = &registration;
                Ok(render(&pages, &form.visit, username, email, &errors))
            }
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn sent() -> Page {
    let text = "We have sent a mail to the address. Follow the link in it to finish. It works for \
                an hour.";
    let link = Some(("/login", "Log in"));
    view::message(StatusCode::OK, &Message { title: "Check your mail", tone: "good", text, link })
}

fn render(
    pages: &Pages,
    visit: &Visit,
    username: &str,
    email: &str,
    errors: &[FieldError],
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let fields = vec![
        Field::new("username", "User name", "text", "username")
            .hint(NAME_HINT)
            .value(username)
            .errors(errors),
        Field::new("email", "E-mail address", "email", "email").value(email).errors(errors),
        Field::new("password", "Password", "password", "new-password")
            .hint("At least 15 characters; leave it empty to use a passkey, or mail")
            .optional()
            .errors(errors),
    ];
    let page = FormPage {
        title: "Create an account",
        intro: None,
        alert: None,
        action: "/register",
        csrf,
        hidden: Vec::new(),
        fields,
        button: "Create account",
        link: Some(("/login", "Log in")),
    };
    view::page(status(errors), &page, cookie)
}

fn status(errors: &[FieldError]) -> StatusCode {
    if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

/// `GET /verify-email`: programs that look at links in mails must not use them up, so the person
/// presses a button.
pub(crate) async fn show_confirm(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let token = visit.query.get("token").ok_or_else(view::dead_link)?;
        Ok(confirm_page(&pages, &visit, token, None, &[]))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /verify-email`
pub(crate) async fn confirm(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let (token, name) = (form.text("token"), form.params.get("username"));
        let confirmed = pages.identity.confirm_registration(token, name, &form.visit.origin).await;
        match confirmed {
            Ok(Confirmed::Created(_)) => Ok(done()),
            Ok(Confirmed::NameTaken { username }) => {
                let message = "is taken; choose another".to_owned();
                let errors = [FieldError { field: "username", message }];
                Ok(confirm_page(&pages, &form.visit, token, Some(&username), &errors))
            }
            Err(IdentityError::Invalid(errors)) => {
                Ok(confirm_page(&pages, &form.visit, token, name, &errors))
            }
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn done() -> Page {
    let text = "Your address is confirmed and your account is ready.";
    let link = Some(("/login", "Log in"));
    view::message(StatusCode::OK, &Message { title: "Welcome", tone: "good", text, link })
}

fn confirm_page(
    pages: &Pages,
    visit: &Visit,
    token: &str,
    username: Option<&str>,
    errors: &[FieldError],
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let fields = username.map(|name| {
        Field::new("username", "User name", "text", "username")
            .hint(NAME_HINT)
            .value(name)
            .errors(errors)
    });
    let page = FormPage {
        title: "Confirm your e-mail address",
        intro: Some("One step left: confirm that you asked for this account."),
        alert: None,
        action: "/verify-email",
        csrf,
        hidden: vec![("token", token)],
        fields: fields.into_iter().collect(),
        button: "Confirm",
        link: Some(("/login", "Log in")),
    };
    view::page(status(errors), &page, cookie)
}
