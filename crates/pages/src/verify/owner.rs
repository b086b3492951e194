//! The owner of an account, who is verified while they log in.

use portcullis_events::Actor;
use portcullis_identity::Methods;
use portcullis_oidc::{Params, ProofRule};
use portcullis_store::{accounts::Account, sessions::Session};
use portcullis_texts::tf;
use portcullis_types::Timestamp;
use portcullis_verification::{Needed, Open, Owner, SessionError};

use crate::{
    Pages,
    account::minutes,
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

/// Whose a session is. Whoever was sent the link of somebody else should see that.
pub(super) struct Whose {
    /// The account that it is about, if it is about one.
    pub account: Option<String>,
    /// By which passkey its owner was logged in who began it, in words: it stands for the person afterwards.
    pub passkey: Option<String>,
}

pub(super) async fn whose(pages: &Pages, open: &Open) -> Result<Whose, Page> {
    let Some(account) = open.row.account() else {
        return Ok(Whose { account: None, passkey: None });
    };
    let failed = |error| view::failed(&error);
    let mut whose =
        Whose { account: pages.identity.username(account).await.map_err(failed)?, passkey: None };
    if let Some(used) = open.row.passkey_id.as_deref().filter(|used| !used.is_empty()) {
        let all = pages.identity.passkeys_of(account).await.map_err(failed)?;
        let one = all.into_iter().find(|one| one.id.to_string() == used);
        whose.passkey = one.map(|one| {
            let added = minutes(Timestamp::from_micros(one.created_at));
            tf(
                "Afterwards the passkey “{0}”, added {1}, stands for you. If that is not yours, close this page.",
                &[&one.name, &added],
            )
        });
    }
    Ok(whose)
}

/// Where somebody goes through a session, and then back to the login that waits for it.
pub(crate) fn link(pages: &Pages, open: &Open, back: &str) -> String {
    let token = pages.sessions.client_token(open.row.id);
    let query = Params::default().with("token", &token).with("return_to", back);
    format!("/verify?{}", query.to_query())
}
