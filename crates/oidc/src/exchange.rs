//! Token exchange (RFC 8693): a service that was called calls another one, and says for whom.

use portcullis_events::{AccountChange, Actor, Kind, Outcome, TokenOperation};
use portcullis_identity::Methods;
use portcullis_jose::access_token::{AccessClaims, ActClaim};
use portcullis_store::{accounts, grants};
use portcullis_types::{Id, tags};

use crate::{
    ErrorCode, GrantType, OAuthError, Provider, ProviderError,
    claims::{Person, RequestedClaims},
    issue::TokenResponse,
    token::TokenCall,
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A chain of services is at most this long.
const MAX_ACTORS: usize = 8;

impl Provider {
    /// The client gets a token for whoever its `subject_token` is about, for another audience and
    /// with no more scopes. It says who acts (`act`), ends with the token it came from, and cannot
    /// be refreshed.
    pub(crate) async fn exchange(
        &self,
        call: TokenCall<'_>,
    ) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, .. } = call;
        if params
            .get("requested_token_type")
            .is_some_and(|kind| kind != ACCESS_TOKEN && kind != JWT)
        {
            return Err(OAuthError::request("only access tokens can be requested").into());
        }
        let subject = self.exchangeable(call, "subject_token")?;
        let subject = subject.ok_or(OAuthError::request("subject_token is missing"))?;
        let actor = self.exchangeable(call, "actor_token")?;
        let scope = narrowed(&subject.scope, client, params.get("scope"))?;
        let act = chain(call, &subject, actor.as_ref())?;
        let whom = params.get("requested_subject");
        let person = match whom {
            Some(other) => Some(self.impersonated(call, &subject, other, &scope).await?),
            None => None,
        };
        let may = |wanted: &str| scope.split(' ').any(|scope| scope == wanted);
        let (groups, roles) = match &person {
            Some(Person { memberships, .. }) => {
                (memberships.groups.clone(), memberships.roles.iter().cloned().collect())
            }
            None => (subject.groups.clone(), subject.roles.clone()),
        };
        let person = person.map(|person| (person.account.id, person.account.username));
        let acr = self.exchanged_acr(&subject, person.is_some()).await?;
        let base = self.access_claims(call, &subject.sub, &scope, None)?;
        let claims = AccessClaims {
            sub: person.as_ref().map_or_else(|| subject.sub.clone(), |(id, _)| id.to_string()),
            preferred_username: match &person {
                Some((_, name)) => Some(name.clone()),
                None => subject.preferred_username.clone(),
            },
            exp: base.exp.min(subject.exp),
            auth_time: subject.auth_time,
            acr,
            groups: if may("groups") { groups } else { Vec::new() },
            roles: if may("roles") { roles } else { Vec::new() },
            sid: subject.sid.clone(),
            grant_id: subject.grant_id.clone(),
            status: subject.status.clone(),
            act: Some(if person.is_some() { impersonator(&subject, act) } else { act }),
            ..base
        };
        let access_token = self.access_token(client, &claims)?;
        self.record_exchange(call, &subject, &claims, person.as_ref()).await?;
        let lifetime = claims.exp.saturating_sub(self.now().secs());
        Ok(TokenResponse {
            access_token,
            token_type: call.token_type(),
            issued_token_type: Some(ACCESS_TOKEN),
            expires_in: u64::try_from(lifetime).unwrap_or(0),
            scope,
            refresh_token: None,
            id_token: None,
        })
    }

    /// What the login proved that is behind a token. A verification is of one person, and looked at again.
    async fn exchanged_acr(
        &self,
        subject: &AccessClaims,
        is_impersonation: bool,
    ) -> Result<Option<String>, ProviderError> {
        let acr = subject.acr.clone();
        if acr.as_deref().is_none_or(|acr| self.proof_of(acr).is_none()) {
            return Ok(acr);
        }
        let grant = match &subject.grant_id {
            Some(id) => grants::by_id(&self.identity.db, self.tenant(), id).await?,
            None => None,
        };
        let Some(grant) = grant else { return Ok(None) };
        let login = Methods::from_row(&grant.methods).assurance().acr().to_owned();
        let proven = if is_impersonation { None } else { self.acr_of(&grant).await? };
        Ok(Some(proven.unwrap_or(login)))
    }

    /// A token of ours that this client may exchange: one issued to it, or for it.
    fn exchangeable(
        &self,
        call: TokenCall<'_>,
        name: &'static str,
    ) -> Result<Option<AccessClaims>, OAuthError> {
        let TokenCall { client, params, .. } = call;
        let kind = match name {
            "subject_token" => params.get("subject_token_type"),
            _ => params.get("actor_token_type"),
        };
        let token = match (params.get(name), kind) {
            (None, None) => return Ok(None),
            (Some(token), Some(ACCESS_TOKEN | JWT)) => token,
            (Some(_), Some(_)) => {
                return Err(OAuthError::request("only access tokens can be exchanged"));
            }
            _ => return Err(OAuthError::request("a token and its type must be given together")),
        };
        // Section 2.2.2 gives no code of its own to a token that does not hold.
        let invalid = OAuthError::request("the token is not active, or not for this client");
        let claims = self.active_any(token).ok_or(invalid.clone())?;
        let own = claims.client_id == client.id
            || claims.aud.contains(&client.id)
            || client.settings.serves.iter().any(|audience| claims.aud.contains(audience));
        if own { Ok(Some(claims)) } else { Err(invalid) }
    }

    /// An administrator looks at the world as somebody else does. The client must be registered for
    /// it, and administrators cannot be impersonated.
    async fn impersonated(
        &self,
        call: TokenCall<'_>,
        subject: &AccessClaims,
        whom: &str,
        scope: &str,
    ) -> Result<Person, ProviderError> {
        let may_not =
            || OAuthError::new(ErrorCode::UnauthorizedClient, "nobody may be impersonated");
        if !call.client.settings.may_impersonate {
            return Err(may_not().into());
        }
        let (db, tenant) = (&self.identity.db, self.tenant());
        let staff = match subject.sub.parse() {
            Ok(id) => accounts::by_id(db, tenant, id).await?,
            Err(_) => None,
        };
        let good = |account: &accounts::Account| account.disabled_at.is_none();
        if !staff.is_some_and(|staff| good(&staff) && staff.has_role("admin")) {
            return Err(may_not().into());
        }
        let other = match whom.parse() {
            Ok(id) => accounts::by_id(db, tenant, id).await?,
            Err(_) => None,
        };
        let other = other.filter(|other| good(other) && !other.has_role("admin"));
        let other = other.ok_or(OAuthError::request("requested_subject cannot be impersonated"))?;
        self.person(other, &RequestedClaims::default(), scope).await
    }

    async fn record_exchange(
        &self,
        call: TokenCall<'_>,
        subject: &AccessClaims,
        claims: &AccessClaims,
        person: Option<&(Id<tags::User>, String)>,
    ) -> Result<(), ProviderError> {
        let actor = match &subject.preferred_username {
            Some(name) => Actor::User { id: subject.sub.clone(), username: name.clone() },
            None => Actor::Client { id: subject.sub.clone() },
        };
        let operation = TokenOperation {
            operation: if person.is_some() { "impersonate" } else { "exchange" },
            client: call.client.id.clone(),
            grant_type: GrantType::TokenExchange.as_str().into(),
            scope: claims.scope.clone(),
            token_id: Some(claims.jti.clone()),
            grant: claims.grant_id.clone(),
        };
        let mut events =
            vec![self.token_event(call.origin, actor.clone(), Outcome::Success, operation)];
        if let Some((id, username)) = person {
            let user = Actor::User { id: id.to_string(), username: username.clone() };
            let change =
                Kind::Account(AccountChange { change: "impersonated", user, provider: None });
            events.push(self.identity.event(call.origin, actor, Outcome::Success, change));
        }
        let recorded = self.identity.audit.append(events).await;
        recorded.map_err(|error| ProviderError::Identity(error.into()))
    }
}

/// Who acts now, and for whom it acted before (section 4.1).
fn chain(
    call: TokenCall<'_>,
    subject: &AccessClaims,
    actor: Option<&AccessClaims>,
) -> Result<ActClaim, OAuthError> {
    let earlier = subject.act.clone().map(Box::new);
    let sub = actor.map_or_else(|| call.client.id.clone(), |actor| actor.sub.clone());
    let act = ActClaim { sub, act: earlier };
    if act.len() > MAX_ACTORS {
        return Err(OAuthError::request("the chain of actors is too long"));
    }
    Ok(act)
}

/// The administrator comes first in the chain of a token that is about somebody else.
fn impersonator(subject: &AccessClaims, act: ActClaim) -> ActClaim {
    ActClaim { sub: subject.sub.clone(), act: Some(Box::new(act)) }
}

/// What the subject may do and the client may ask for.
fn narrowed(
    of_subject: &str,
    client: &crate::Client,
    asked: Option<&str>,
) -> Result<String, OAuthError> {
    let own: Vec<&str> = of_subject.split(' ').filter(|scope| !scope.is_empty()).collect();
    let may = |scope: &&str| own.contains(scope) && client.scopes.contains(*scope);
    let scopes: Vec<&str> = match asked {
        None => own.iter().copied().filter(|scope| may(scope)).collect(),
        Some(asked) => {
            let asked: Vec<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
            if !asked.iter().all(may) {
                let text = "the scope is beyond the subject's token or this client";
                return Err(OAuthError::new(ErrorCode::InvalidScope, text));
            }
            asked
        }
    };
    // Who somebody is, is told to whoever they logged in to.
    Ok(scopes.into_iter().filter(|scope| *scope != "openid").collect::<Vec<_>>().join(" "))
}
