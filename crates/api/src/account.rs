use http::{Method, StatusCode};
use portcullis_events::Actor;
use portcullis_identity::IdentityError;
use portcullis_oidc::{Application, HeldCredential};
use portcullis_store::{
    accounts::{self, Account},
    sessions::Session,
};
use portcullis_texts::Lang;
use portcullis_types::{Id, Secret, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Account as Own, Reply, nothing, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const ME: &str = "/api/account/v1/me";
    vec![
        Endpoint::new(Method::GET, ME, Own, "Your own account", me)
            .returns::<Profile>(StatusCode::OK),
        Endpoint::new(
            Method::GET,
            "/api/account/v1/me/access",
            Own,
            "What you may do with the credential that you show",
            access,
        )
        .returns::<Access>(StatusCode::OK),
        Endpoint::new(Method::PATCH, ME, Own, "Change what you are called", rename)
            .takes::<ProfileChange>()
            .returns::<Profile>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            "/api/account/v1/me/password",
            Own,
            "Change your password",
            password,
        )
        .takes::<PasswordChange>()
        .returns_nothing(),
        Endpoint::new(
            Method::POST,
            "/api/account/v1/me/email",
            Own,
            "Ask for another e-mail address",
            email,
        )
        .takes::<EmailChange>()
        .returns_nothing(),
        Endpoint::new(Method::GET, "/api/account/v1/me/sessions", Own, "Your sessions", sessions)
            .returns::<Page<LoginSessionView>>(StatusCode::OK),
        Endpoint::new(
            Method::DELETE,
            "/api/account/v1/me/sessions/{id}",
            Own,
            "End one of your sessions",
            end,
        )
        .returns_nothing(),
        Endpoint::new(
            Method::GET,
            "/api/account/v1/me/export",
            Own,
            "Everything that is kept about you",
            export,
        ),
        Endpoint::new(
            Method::GET,
            "/api/account/v1/me/applications",
            Own,
            "Applications that act for you",
            applications,
        )
        .returns::<Page<ApplicationView>>(StatusCode::OK),
        Endpoint::new(
            Method::DELETE,
            "/api/account/v1/me/applications/{id}",
            Own,
            "End what an application may do",
            end_application,
        )
        .returns_nothing(),
        Endpoint::new(
            Method::GET,
            "/api/account/v1/me/credentials",
            Own,
            "Proofs of who you are that wallets hold",
            credentials,
        )
        .returns::<Page<HeldCredentialView>>(StatusCode::OK),
        Endpoint::new(
            Method::DELETE,
            "/api/account/v1/me/credentials/{id}",
            Own,
            "Revoke a proof that a wallet holds",
            revoke_credential,
        )
        .returns_nothing(),
    ]
}

/// A person's own account.
#[derive(Debug, Serialize, ToSchema)]
struct Profile {
    /// The account.
    id: String,
    /// The user name.
    username: String,
    /// The e-mail address, which was confirmed.
    email: String,
    /// What to call the person.
    display_name: String,
    /// What the person reads; empty if we do not know.
    locale: String,
}

/// What somebody may do.
#[derive(Debug, Serialize, ToSchema)]
struct Access {
    /// The scopes of the credential: `account`, `admin`, `aml`, `idv` and those of services.
    scopes: Vec<String>,
    /// The roles of the account.
    roles: Vec<String>,
}

impl From<Account> for Profile {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.to_string(),
            username: account.username,
            email: account.email,
            display_name: account.display_name,
            locale: account.locale,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileChange {
    /// 1 to 100 characters.
    display_name: String,
    /// `en`, `de`, `es` or `fr`; stays as it is if left out.
    locale: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    current_password: String,
    /// At least 15 characters.
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EmailChange {
    current_password: String,
    email: String,
}

/// A session of the caller.
#[derive(Debug, Serialize, ToSchema)]
struct LoginSessionView {
    id: String,
    /// Where it began.
    addr: String,
    user_agent: String,
    /// RFC 3339.
    created_at: String,
    last_seen_at: String,
    expires_at: String,
}

impl From<Session> for LoginSessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            addr: session.addr,
            user_agent: session.user_agent,
            created_at: session.created_at.to_rfc3339(),
            last_seen_at: session.last_seen_at.to_rfc3339(),
            expires_at: session.expires_at.to_rfc3339(),
        }
    }
}

/// An application that acts for the caller.
#[derive(Debug, Serialize, ToSchema)]
struct ApplicationView {
    /// Its client id.
    client_id: String,
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// Its logins and devices; none if only the consent is remembered.
    grants: usize,
    /// When it was last let in, RFC 3339.
    last_granted_at: String,
}

impl From<Application> for ApplicationView {
    fn from(application: Application) -> Self {
        Self {
            client_id: application.client_id,
            name: application.name,
            scopes: application.scopes.into_iter().collect(),
            grants: application.grants,
            last_granted_at: application.last.to_rfc3339(),
        }
    }
}

/// A credential in a wallet of the caller.
#[derive(Debug, Serialize, ToSchema)]
struct HeldCredentialView {
    id: String,
    /// The wallet.
    client_id: String,
    /// RFC 3339.
    issued_at: String,
    /// RFC 3339.
    expires_at: String,
    /// Whether it was revoked.
    revoked: bool,
}

impl From<HeldCredential> for HeldCredentialView {
    fn from(held: HeldCredential) -> Self {
        Self {
            id: held.id.to_string(),
            client_id: held.client_id,
            issued_at: held.issued_at.to_rfc3339(),
            expires_at: held.expires_at.to_rfc3339(),
            revoked: held.is_revoked,
        }
    }
}

async fn credentials(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let items = api.provider.held_credentials(account.id).await?;
    ok(Page { items: items.into_iter().map(HeldCredentialView::from).collect(), next: None })
}

async fn revoke_credential(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let id = call.id::<Id<tags::Credential>>()?;
    let revoked = api.provider.revoke_credential(&account, id, &call.origin).await?;
    if revoked { nothing() } else { Err(ApiError::NotFound) }
}

async fn export(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    ok(api.identity.export(&account).await?)
}

async fn me(api: Api, call: Call) -> Reply {
    ok(Profile::from(own(&api, &call).await?))
}

async fn access(api: Api, call: Call) -> Reply {
    let roles = own(&api, &call).await?.roles;
    let roles = roles.split_whitespace().map(str::to_owned).collect();
    ok(Access { scopes: call.caller.scopes, roles })
}

async fn rename(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let change: ProfileChange = call.json()?;
    let lang = match change.locale.as_deref().map(Lang::of_tag) {
        Some(None) => return Err(IdentityError::field("locale", "is not a language here").into()),
        lang => lang.flatten(),
    };
    let (name, origin) = (&change.display_name, &call.origin);
    ok(Profile::from(api.identity.set_profile(&account, name, lang, origin).await?))
}

async fn password(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let change: PasswordChange = call.json()?;
    let (current, new) = (Secret::new(change.current_password), Secret::new(change.password));
    api.identity.change_password(&account, None, &current, &new, &call.origin).await?;
    nothing()
}

async fn email(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let change: EmailChange = call.json()?;
    let current = Secret::new(change.current_password);
    let asked = api.identity.request_email_change(&account, &current, &change.email, &call.origin);
    asked.await?;
    nothing()
}

async fn sessions(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let items = api.identity.sessions(&account).await?;
    ok(Page { items: items.into_iter().map(LoginSessionView::from).collect(), next: None })
}

async fn end(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    api.identity.end_session(&account, call.id()?, &call.origin).await?;
    nothing()
}

async fn applications(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let items = api.provider.applications(&account).await?;
    ok(Page { items: items.into_iter().map(ApplicationView::from).collect(), next: None })
}

async fn end_application(api: Api, call: Call) -> Reply {
    let account = own(&api, &call).await?;
    let client: String = call.id()?;
    let ended = api.provider.end_application(&account, &client, &call.origin).await?;
    if ended { nothing() } else { Err(ApiError::NotFound) }
}

/// The account of whoever calls. A client acting for itself has none.
async fn own(api: &Api, call: &Call) -> Result<Account, ApiError> {
    let Actor::User { id, .. } = &call.caller.actor else { return Err(ApiError::Forbidden) };
    let id = id.parse().map_err(|_| ApiError::Forbidden)?;
    let account = accounts::by_id(&api.identity.db, &api.identity.tenant, id).await?;
    account.filter(|account| account.disabled_at.is_none()).ok_or(ApiError::Forbidden)
}
