//! The gate as a client of our own provider, for routes that browsers with a session may use.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Result;
use portcullis_events::{Actor, Origin};
use portcullis_gateway::{LocalService, SessionState, Sessions};
use portcullis_oidc::{AuthMethod, ClientSettings, ClientSpec, GrantType};
use portcullis_store::clients;
use portcullis_types::DEFAULT_TENANT;

use crate::{
    app::App,
    config::{Authenticate, Config, RouteConfig},
    routes::protect,
};

/// What the gate is called.
const CLIENT: &str = "portcullis-gate";
const CALLBACK: &str = "/.portcullis/callback";

fn with_session(config: &Config) -> impl Iterator<Item = &RouteConfig> {
    config.routes.iter().filter(|route| route.authenticate.contains(&Authenticate::Session))
}

/// How the gate asks the provider; nothing if no route takes sessions.
pub fn build(config: &Config, oidc: LocalService, state: &Arc<SessionState>) -> Option<Sessions> {
    with_session(config).next()?;
    let scopes: Vec<String> = scopes(config).into_iter().collect();
    Some(Sessions {
        issuer: config.issuer.clone(),
        client_id: CLIENT.to_owned(),
        scopes: scopes.join(" "),
        oidc,
        limits: protect(config, "token"),
        state: state.clone(),
    })
}

fn scopes(config: &Config) -> BTreeSet<String> {
    let own = ["openid", "profile", "email", "groups", "roles"].map(str::to_owned);
    own.into_iter().chain(with_session(config).flat_map(|route| route.scopes.clone())).collect()
}

/// Registers the gate, with the addresses that browsers come back to, unless it is.
pub async fn register(app: &App, config: &Config) -> Result<()> {
    if with_session(config).next().is_none() {
        return Ok(());
    }
    let issuer = url::Url::parse(&config.issuer)?;
    let port = issuer.port().map(|port| format!(":{port}")).unwrap_or_default();
    let own = issuer.host_str().unwrap_or("localhost");
    let hosts = with_session(config).flat_map(|route| match route.hosts.as_slice() {
        [] => vec![own],
        hosts => hosts.iter().map(String::as_str).collect(),
    });
    let back: BTreeSet<String> =
        hosts.map(|host| format!("https://{host}{port}{CALLBACK}")).collect();
    let spec = ClientSpec {
        id: Some(CLIENT.into()),
        name: "Gateway".into(),
        auth_method: AuthMethod::None,
        first_party: true,
        redirect_uris: back.into_iter().collect(),
        post_logout_redirect_uris: vec![],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: scopes(config).into_iter().collect(),
        audiences: vec![],
        jwks: None,
        token_alg: app.provider.keys.schedule().preferred(),
        settings: ClientSettings::default(),
    };
    let known = clients::by_id(&app.identity.db, DEFAULT_TENANT, CLIENT).await?;
    let (by, origin) = (&Actor::System, &Origin::default());
    match known {
        None => drop(app.provider.create_client(&spec, by, origin).await?),
        Some(known) => {
            let list = |texts: &[String]| texts.join(" ");
            let same = known.scopes == list(&spec.scopes)
                && known.redirect_uris.split_whitespace().eq(spec.redirect_uris.iter());
            if !same {
                app.provider.update_client(CLIENT, &spec, by, origin).await?;
            }
        }
    }
    Ok(())
}
