//! The owner of an account, who is verified while they log in.

use portcullis_events::Actor;
use portcullis_oidc::{Params, ProofRule};
use portcullis_store::accounts::Account;
use portcullis_verification::{Needed, Open, Owner, SessionError};

use crate::{
    Pages,
    form::Visit,
    view::{self, Page},
};

/// The session in which somebody who logs in is verified; none for whoever was declined just now.
pub(crate) async fn of_owner(
    pages: &Pages,
    visit: &Visit,
    account: &Account,
    rule: &ProofRule,
) -> Result<Option<Open>, SessionError> {
    let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
    let locale = Some(portcullis_texts::current().tag().to_owned());
    let owner = Owner { account: account.id, locale };
    let by = (&who, &visit.origin);
    let needed = Needed {
        workflow: &rule.workflow,
        retry_after: rule.retry_after,
        is_watched: rule.current_screening,
    };
    pages.sessions.for_owner(&owner, needed, by).await
}

/// Whose account a session is about. Whoever was sent the link of somebody else should see that.
pub(super) async fn name(pages: &Pages, open: &Open) -> Result<Option<String>, Page> {
    let Some(account) = open.row.account() else { return Ok(None) };
    let username = pages.identity.username(account).await;
    username.map_err(|error| view::failed(&error))
}

/// Where somebody goes through a session, and then back to the login that waits for it.
pub(crate) fn link(pages: &Pages, open: &Open, back: &str) -> String {
    let token = pages.sessions.client_token(open.row.id);
    let query = Params::default().with("token", &token).with("return_to", back);
    format!("/verify?{}", query.to_query())
}
