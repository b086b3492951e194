use http::{Method, StatusCode};
use portcullis_identity::NewAccount;
use portcullis_store::accounts::{self, Account};
use portcullis_types::{Id, Secret, Timestamp, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, nothing, ok},
};

const USERS: &str = "/api/admin/v1/users";
/// The longest address there is.
const MAX_SEARCH_CHARS: usize = 254;
const USER: &str = "/api/admin/v1/users/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            USERS,
            Admin,
            "List accounts; ?flagged=true for those to review, ?username= or ?email= for a beginning",
            list,
        )
        .paged()
        .query(&["flagged", "username", "email"])
        .returns::<Page<UserView>>(ok),
        Endpoint::new(Method::POST, USERS, Admin, "Make an account", create)
            .takes::<NewUser>()
            .returns::<UserView>(StatusCode::CREATED),
        Endpoint::new(Method::GET, USER, Admin, "One account", show).returns::<UserView>(ok),
        Endpoint::new(Method::DELETE, USER, Admin, "Remove an account", delete).returns_nothing(),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/users/{id}/disable",
            Admin,
            "Disable an account at once",
            disable,
        )
        .returns::<UserView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/users/{id}/enable",
            Admin,
            "Enable an account again",
            enable,
        )
        .returns::<UserView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/users/{id}/reset-factors",
            Admin,
            "Take app, recovery codes and passkeys off an account whose owner lost them",
            reset_factors,
        )
        .returns_nothing(),
        Endpoint::new(
            Method::PUT,
            "/api/admin/v1/users/{id}/roles",
            Admin,
            "Give an account other roles",
            roles,
        )
        .takes::<RolesChange>()
        .returns::<UserView>(ok),
        Endpoint::new(
            Method::DELETE,
            "/api/admin/v1/users/{id}/flag",
            Admin,
            "Take the flag off after review",
            unflag,
        )
        .returns::<UserView>(ok),
    ]
}

/// An account as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
struct UserView {
    id: String,
    username: String,
    email: String,
    display_name: String,
    roles: Vec<String>,
    disabled: bool,
    flagged: bool,
    /// Why it is flagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    flag_reason: Option<String>,
    /// RFC 3339.
    created_at: String,
}

impl From<Account> for UserView {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.to_string(),
            username: account.username,
            email: account.email,
            display_name: account.display_name,
            roles: account
                .roles
                .split(' ')
                .filter(|role| !role.is_empty())
                .map(str::to_owned)
                .collect(),
            disabled: account.disabled_at.is_some(),
            flagged: account.flagged_at.is_some(),
            flag_reason: account.flag_reason,
            created_at: Timestamp::from_micros(account.created_at).to_rfc3339(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    username: String,
    email: String,
    /// At least 15 characters.
    password: String,
    /// May contain `admin`.
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RolesChange {
    roles: Vec<String>,
}

async fn list(api: Api, call: Call) -> Reply {
    match (call.query.get("username"), call.query.get("email")) {
        (None, None) => listed(api, call).await,
        (Some(prefix), None) => {
            let (after, limit) = call.page_after("after", MAX_SEARCH_CHARS)?;
            let prefix = search(prefix, "username")?;
            let (db, tenant) = (&api.identity.db, &api.identity.tenant);
            let rows = accounts::by_username_prefix(db, tenant, &prefix, &after, limit).await?;
            ok(Page::of(rows, limit, |row| row.username.clone(), UserView::from))
        }
        (None, Some(prefix)) => {
            let (after, limit) = call.page_after("after", MAX_SEARCH_CHARS)?;
            let prefix = search(prefix, "email")?;
            let (db, tenant) = (&api.identity.db, &api.identity.tenant);
            let rows = accounts::by_email_prefix(db, tenant, &prefix, &after, limit).await?;
            ok(Page::of(rows, limit, |row| row.email.clone(), UserView::from))
        }
        (Some(_), Some(_)) => Err(ApiError::Parameter("username")),
    }
}

/// What somebody types to find an account, as names and addresses are stored.
fn search(prefix: &str, parameter: &'static str) -> Result<String, ApiError> {
    let fits = prefix.chars().count() <= MAX_SEARCH_CHARS && !prefix.chars().any(char::is_control);
    fits.then(|| prefix.to_lowercase()).ok_or(ApiError::Parameter(parameter))
}

async fn listed(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::User>>()?;
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = match call.query.get("flagged") {
        None | Some("false") => accounts::page(db, tenant, &after, limit).await?,
        Some("true") => accounts::flagged(db, tenant, &after, limit).await?,
        Some(_) => return Err(ApiError::Parameter("flagged")),
    };
    ok(Page::of(rows, limit, |row| row.id.to_string(), UserView::from))
}

async fn create(api: Api, call: Call) -> Reply {
    let new: NewUser = call.json()?;
    let new = NewAccount {
        username: new.username,
        email: new.email,
        password: Secret::new(new.password),
        roles: new.roles,
    };
    let account = api.identity.create_account(&new, &call.caller.actor, &call.origin).await?;
    created(UserView::from(account))
}

async fn show(api: Api, call: Call) -> Reply {
    let account = accounts::by_id(&api.identity.db, &api.identity.tenant, call.id()?).await?;
    ok(UserView::from(account.ok_or(ApiError::NotFound)?))
}

async fn delete(api: Api, call: Call) -> Reply {
    api.identity.delete_account(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}

async fn disable(api: Api, call: Call) -> Reply {
    set_disabled(api, call, true).await
}

async fn enable(api: Api, call: Call) -> Reply {
    set_disabled(api, call, false).await
}

async fn set_disabled(api: Api, call: Call, disabled: bool) -> Reply {
    let (by, origin) = (&call.caller.actor, &call.origin);
    ok(UserView::from(api.identity.set_disabled(call.id()?, disabled, by, origin).await?))
}

async fn reset_factors(api: Api, call: Call) -> Reply {
    api.identity.reset_factors(&call.caller.actor, call.id()?, &call.origin).await?;
    nothing()
}

async fn roles(api: Api, call: Call) -> Reply {
    let change: RolesChange = call.json()?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    ok(UserView::from(api.identity.set_roles(call.id()?, &change.roles, by, origin).await?))
}

async fn unflag(api: Api, call: Call) -> Reply {
    let (by, origin) = (&call.caller.actor, &call.origin);
    ok(UserView::from(api.identity.clear_flag(call.id()?, by, origin).await?))
}
