//! The owner of an account, who is verified while they log in.

use portcullis_events::Actor;
use portcullis_identity::Methods;
use portcullis_oidc::{Params, ProofRule};
use portcullis_store::{accounts::Account, sessions::Session};
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
    (session, account): (&Session, &Account),
    rule: &ProofRule,
) -> Result<Option<Open>, SessionError> {
    let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
    let locale = Some(portcullis_texts::current().tag().to_owned());
    let passkey = Methods::from_row(&session.methods).passkey();
    let owner = Owner { account: account.id, locale, passkey };
    let by = (&who, &visit.origin);
    let needed = Needed {
        workflow: &rule.workflow,
        retry_after: rule.retry_after,
        is_watched: rule.current_screening,
        is_bound: rule.passkey,
    };
    pages.sessions.for_owner(&owner, needed, by).await
}

/// Whose account a session is about. Whoever was sent the link of somebody else should see that.
pub(super) async fn name(pages: &Pages, open: &Open) -> Result<Option<String>, Page> {
    let Some(account) = open.row.account() else { return Ok(None) };
    let username = pages.identity.username(account).await;
    username.map_err(|error| view::failed(&error))
}

/// What the passkey is called by which the owner was logged in who began a session: it stands for the person afterwards,
/// so that whoever was sent the link of somebody else should see that as well.
pub(super) async fn passkey(pages: &Pages, open: &Open) -> Result<Option<String>, Page> {
    let (Some(account), Some(used)) = (open.row.account(), &open.row.passkey_id) else {
        return Ok(None);
    };
    let all = pages.identity.passkeys_of(account).await.map_err(|error| view::failed(&error))?;
    Ok(all.into_iter().find(|one| one.id.to_string() == *used).map(|one| one.name))
}

/// Where somebody goes through a session, and then back to the login that waits for it.
pub(crate) fn link(pages: &Pages, open: &Open, back: &str) -> String {
    let token = pages.sessions.client_token(open.row.id);
    let query = Params::default().with("token", &token).with("return_to", back);
    format!("/verify?{}", query.to_query())
}
