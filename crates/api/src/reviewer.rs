use portcullis_events::Actor;
use portcullis_store::accounts;
use portcullis_verification::Reviewer;

use crate::{ApiError, call::Call, endpoint::Api};

/// The person who decides. A key or client is none, and neither is somebody who acts as somebody else: one
/// could be both persons then. The account is looked up, since clients may know a person by different names.
pub(crate) async fn reviewer(api: &Api, call: &Call) -> Result<Reviewer, ApiError> {
    let caller = &call.caller;
    let Actor::User { username, .. } = &caller.actor else { return Err(ApiError::Forbidden) };
    if caller.acted || username.is_empty() {
        return Err(ApiError::Forbidden);
    }
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let account = accounts::by_username(db, tenant, username).await?.ok_or(ApiError::Forbidden)?;
    let may = account.has_role("compliance") || account.has_role("admin");
    if !may || account.disabled_at.is_some() {
        return Err(ApiError::Forbidden);
    }
    Ok(Reviewer { account: account.id, actor: caller.actor.clone() })
}
