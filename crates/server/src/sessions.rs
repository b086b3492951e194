//! The gate as a client of our own provider, for browsers: one client for services behind it, another for the
//! console.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result};
use portcullis_api::Permission;
use portcullis_events::{Actor, Origin};
use portcullis_gateway::{LocalService, SessionKind, SessionState, Sessions};
use portcullis_oidc::{
    AuthMethod, CONSOLE_CLIENT, ClientSettings, ClientSpec, GATE_CLIENT, GrantType,
};
use portcullis_store::clients;
use portcullis_types::DEFAULT_TENANT;

use crate::{
    app::App,
    config::{Authenticate, Config, RouteConfig},
    routes::protect,
};

/// One of the clients that the gate is.
struct Own {
    kind: SessionKind,
    id: &'static str,
    name: &'static str,
    scopes: BTreeSet<String>,
    /// Where browsers come from; the issuer's if there are none.
    hosts: BTreeSet<String>,
}

fn with_session(config: &Config) -> impl Iterator<Item = &RouteConfig> {
    config.routes.iter().filter(|route| route.authenticate.contains(&Authenticate::Session))
}

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.into_iter().map(str::to_owned).collect()
}

/// The clients that this configuration needs.
fn own(config: &Config) -> Result<Vec<Own>> {
    let issuer = url::Url::parse(&config.issuer)?;
    let here = issuer.host_str().unwrap_or("localhost").to_owned();
    let mut all = Vec::new();
    if with_session(config).next().is_some() {
        let hosts = with_session(config).flat_map(|route| match route.hosts.as_slice() {
            [] => vec![here.clone()],
            hosts => hosts.to_vec(),
        });
        let mut scopes = texts(["openid", "profile", "email", "groups", "roles"]);
        scopes.extend(with_session(config).flat_map(|route| route.scopes.clone()));
        all.push(Own {
            kind: SessionKind::Services,
            id: GATE_CLIENT,
            name: "Gateway",
            scopes,
            hosts: hosts.collect(),
        });
    }
    if config.console.enabled {
        let mut scopes = texts(["openid", "profile", "email", "roles"]);
        scopes.extend(Permission::ALL.map(|one| one.scope().to_owned()));
        all.push(Own {
            kind: SessionKind::Console,
            id: CONSOLE_CLIENT,
            name: "Console",
            scopes,
            hosts: BTreeSet::from([config.console.host.clone().unwrap_or(here)]),
        });
    }
    Ok(all)
}

/// How the gate asks the provider.
pub fn build(
    config: &Config,
    oidc: &LocalService,
    state: &Arc<SessionState>,
) -> Result<Vec<Sessions>> {
    let sessions = own(config)?.into_iter().map(|own| Sessions {
        kind: own.kind,
        issuer: config.issuer.clone(),
        client_id: own.id.to_owned(),
        scopes: own.scopes.into_iter().collect::<Vec<_>>().join(" "),
        oidc: oidc.clone(),
        limits: protect(config, "token"),
        state: state.clone(),
    });
    Ok(sessions.collect())
}

/// Registers the gate, with the addresses that browsers come back to, unless it is. What this configuration does not
/// need is disabled: nobody would receive its codes.
pub async fn register(app: &App, config: &Config) -> Result<()> {
    let issuer = url::Url::parse(&config.issuer)?;
    let port = issuer.port().map(|port| format!(":{port}")).unwrap_or_default();
    let needed = own(config)?;
    for id in [GATE_CLIENT, CONSOLE_CLIENT] {
        if needed.iter().all(|own| own.id != id) {
            switch(app, id, true).await?;
        }
    }
    for own in needed {
        let back = own.hosts.iter();
        let back = back.map(|host| format!("https://{host}{port}{}", own.kind.callback()));
        let spec = ClientSpec {
            id: Some(own.id.into()),
            name: own.name.into(),
            auth_method: AuthMethod::None,
            first_party: true,
            redirect_uris: back.collect(),
            post_logout_redirect_uris: vec![],
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            scopes: own.scopes.into_iter().collect(),
            audiences: vec![],
            jwks: None,
            token_alg: app.provider.keys.schedule().preferred(),
            settings: ClientSettings::default(),
        };
        let kept = keep(app, own.id, &spec).await;
        kept.with_context(|| format!("register {}, which is the gate's own client", own.id))?;
    }
    Ok(())
}

async fn switch(app: &App, id: &str, off: bool) -> Result<()> {
    let known = clients::by_id(&app.identity.db, DEFAULT_TENANT, id).await?;
    if known.is_some_and(|known| known.disabled_at.is_some() != off) {
        let (by, origin) = (&Actor::System, &Origin::default());
        app.provider.set_client_disabled(id, off, by, origin).await?;
    }
    Ok(())
}

async fn keep(app: &App, id: &str, spec: &ClientSpec) -> Result<()> {
    let (by, origin) = (&Actor::System, &Origin::default());
    match clients::by_id(&app.identity.db, DEFAULT_TENANT, id).await? {
        None => drop(app.provider.create_client(spec, by, origin).await?),
        Some(known) => {
            let grants: Vec<&str> = spec.grant_types.iter().map(|grant| grant.as_str()).collect();
            let same = known.scopes == spec.scopes.join(" ")
                && known.first_party == spec.first_party
                && known.auth_method == spec.auth_method.as_str()
                && known.grant_types == grants.join(" ")
                && known.redirect_uris.split_whitespace().eq(spec.redirect_uris.iter());
            if !same {
                app.provider.update_client(id, spec, None, by, origin).await?;
            }
        }
    }
    switch(app, id, false).await
}
