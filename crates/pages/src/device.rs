use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_oidc::{DeviceQuestion, Params, ProviderError};
use portcullis_store::{accounts::Account, sessions::Session};

use crate::{
    Pages,
    authorize::{ConsentPage, in_words, links, refused},
    form::{Form, Visit, read_form},
    view::{self, Field, FormPage, Message, Page},
};

/// `GET /device` (RFC 8628, section 3.3): the code in the address is filled in but not taken for
/// the person's word; the comparison with the device comes on the next page.
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let code = visit.query.get("user_code").unwrap_or_default();
        if pages.visitor(&visit).await?.is_none() {
            return Ok(to_login(code));
        }
        Ok(ask_for_code(&pages, &visit, code, None))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /device`: first the code, then the decision.
pub(crate) async fn submit(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let code = form.text("user_code");
        let Some((session, account)) = pages.visitor(&form.visit).await? else {
            return Ok(to_login(code));
        };
        let question = pages.provider.device_question(code, &account).await;
        let Some(question) = question.map_err(|error| failed(&error))? else {
            let error = "is not right, was used or has expired";
            return Ok(ask_for_code(&pages, &form.visit, code, Some(error)));
        };
        match form.params.get("decision") {
            None => Ok(ask(&pages, &form.visit, &question, &account)),
            Some(decision) => {
                let allow = decision == "allow";
                decide(&pages, &form, &question, &account, &session, allow).await
            }
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn decide(
    pages: &Pages,
    form: &Form,
    question: &DeviceQuestion,
    account: &Account,
    session: &Session,
    allow: bool,
) -> Result<Page, Page> {
    let origin = &form.visit.origin;
    let decided = pages.provider.decide_device(question, account, session, allow, origin).await;
    let message = match (decided.map_err(|error| failed(&error))?, allow) {
        (true, true) => Message {
            title: "Your device is connected",
            tone: "good",
            text: "You can go back to it now.",
            link: Some(("/account", "Your account")),
        },
        (true, false) => Message {
            title: "Nothing was allowed",
            tone: "good",
            text: "The device gets no access.",
            link: Some(("/account", "Your account")),
        },
        (false, _) => return Err(view::dead_link()),
    };
    Ok(view::message(StatusCode::OK, &message))
}

fn ask_for_code(pages: &Pages, visit: &Visit, code: &str, error: Option<&str>) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let mut field = Field::new("user_code", "Code", "text", "one-time-code")
        .value(code)
        .hint("Eight letters, such as BCDF-GHJK.");
    field.error = error.map(str::to_owned);
    let form = FormPage {
        title: "Connect a device",
        intro: Some("Enter the code that your device shows."),
        alert: None,
        action: "/device",
        csrf,
        hidden: Vec::new(),
        fields: vec![field],
        button: "Continue",
        link: Some(("/account", "Your account")),
    };
    let status = if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    view::page(status, &form, cookie)
}

fn ask(pages: &Pages, visit: &Visit, question: &DeviceQuestion, account: &Account) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let page = ConsentPage {
        csrf,
        action: "/device",
        client: &question.client.name,
        username: &account.username,
        scopes: question.scopes.iter().map(|scope| in_words(scope)).collect(),
        user_code: Some(&question.user_code),
        links: links(&question.client),
        hidden: vec![("user_code", &question.user_code)],
    };
    view::page(StatusCode::OK, &page, cookie)
}

fn to_login(code: &str) -> Page {
    let back = format!("/device?{}", Params::default().with("user_code", code).to_query());
    let query = Params::default().with("return_to", &back).to_query();
    view::see_other(&format!("/login?{query}"), None)
}

fn failed(error: &ProviderError) -> Page {
    tracing::error!(error = error as &dyn std::error::Error, "a device page failed");
    refused(&error.public())
}
