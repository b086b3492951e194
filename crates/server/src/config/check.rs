//! What must hold between the parts of the file.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Error, Result, bail, ensure};
use portcullis_gateway::OWN_TOKENS;
use portcullis_pki::SpiffeId;

use super::{
    Authenticate, Config, ContractMode, ContractResponses, Door, KeyEncryption, Keys, Limit,
    PROTECTED, RouteConfig, TlsMode, UpstreamConfig,
};

impl Config {
    /// Everything that is wrong, in the order of the file's parts.
    pub(super) fn mistakes(&mut self) -> Vec<Error> {
        let mut all: Vec<Error> = self.check_issuer().err().into_iter().collect();
        let parts = [
            Self::check_shape as fn(&Self) -> Result<()>,
            |own| own.verification.check(),
            |own| own.console.check(&own.issuer),
            Self::check_hosts,
            Self::check_tokens,
            Self::check_protect,
            Self::check_login_providers,
            Self::check_token_issuers,
            Self::check_certificates,
            |own| own.detect.check(),
            |own| own.audit.check(),
            |own| own.tracing.as_ref().map_or(Ok(()), super::TracingConfig::check),
            |own| super::sink::check(&own.sinks),
        ];
        all.extend(parts.iter().filter_map(|part| part(self).err()));
        all.extend(self.upstreams.iter().filter_map(|own| self.check_upstream(own).err()));
        all.extend(unique("upstream", self.upstreams.iter().map(|own| &own.name)).err());
        let route = |route: &RouteConfig| {
            self.check_route(route).with_context(|| format!("route {}", route.name)).err()
        };
        all.extend(self.routes.iter().filter_map(route));
        all.extend(unique("route", self.routes.iter().map(|route| &route.name)).err());
        all
    }

    fn check_shape(&self) -> Result<()> {
        if let Some(cluster) = &self.cluster {
            let _ = &cluster.url;
            bail!("cluster.url: shared counters are not available in this version");
        }
        ensure!(
            !self.client_address.proxy_protocol || !self.client_address.trusted_proxies.is_empty(),
            "client_address.proxy_protocol needs trusted_proxies: only theirs begin so"
        );
        match (self.tls.mode, &self.tls.certificate, &self.tls.key) {
            (TlsMode::Files, Some(_), Some(_)) | (TlsMode::LocalCa, None, None) => {}
            (TlsMode::Files, ..) => bail!("tls: mode \"files\" needs certificate and key"),
            (TlsMode::LocalCa, ..) => {
                bail!("tls: certificate and key belong to mode \"files\"")
            }
        }
        Ok(())
    }

    fn check_hosts(&self) -> Result<()> {
        for host in &self.listen.hosts {
            let url = url::Url::parse(&format!("https://{host}"));
            let bare = url.is_ok_and(|url| {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let plain = format!("{}{port}", url.host_str().unwrap_or_default());
                plain.eq_ignore_ascii_case(host.strip_suffix(":443").unwrap_or(host))
            });
            ensure!(bare && !host.contains('*'), "listen.hosts: {host:?} is not HOST or HOST:PORT");
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<()> {
        let longest = portcullis_identity::MAX_TOKEN_LIFETIME;
        ensure!(
            self.tokens.access_token_lifetime <= longest,
            "tokens.access_token_lifetime must be at most {} s",
            longest.as_secs()
        );
        ensure!(
            (Duration::from_secs(3)..=longest).contains(&self.tokens.status_list_lifetime),
            "tokens.status_list_lifetime must be from 3s to 1h"
        );
        self.check_keys(longest)
    }

    fn check_protect(&self) -> Result<()> {
        for (name, protect) in &self.protect {
            ensure!(PROTECTED.contains(&name.as_str()), "protect.{name}: there is no such door");
            if let Some(mistake) = protect.limits.iter().find_map(Limit::mistake) {
                bail!("protect.{name}: {mistake}");
            }
        }
        Ok(())
    }

    fn check_login_providers(&self) -> Result<()> {
        unique("login_provider", self.login_providers.iter().map(|own| &own.name))?;
        for provider in &self.login_providers {
            let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            ensure!(
                (1..=32).contains(&provider.name.len()) && provider.name.bytes().all(letter),
                "login_provider {}: the name must be 1 to 32 letters, digits, - or _",
                provider.name
            );
            // Addresses of our own.
            ensure!(
                !["new", "link", "callback", "remove"].contains(&provider.name.as_str()),
                "login_provider {}: the name is one of ours",
                provider.name
            );
            let url = url::Url::parse(&provider.issuer);
            ensure!(
                url.is_ok_and(|url| url.scheme() == "https" && url.query().is_none()),
                "login_provider {}: issuer must be an https URL",
                provider.name
            );
            ensure!(
                provider.scopes.iter().any(|scope| scope == "openid"),
                "login_provider {}: scopes must contain openid",
                provider.name
            );
        }
        Ok(())
    }

    fn check_keys(&self, longest_token: Duration) -> Result<()> {
        let Keys { algorithms, signs_for, published_before, published_after } = &self.keys;
        let repeated = algorithms.iter().enumerate().any(|(i, alg)| algorithms[..i].contains(alg));
        ensure!(!algorithms.is_empty() && !repeated, "keys.algorithms must name each once");
        ensure!(
            *published_after > longest_token,
            "keys.published_after must be longer than any token lives, {} s",
            longest_token.as_secs()
        );
        ensure!(
            published_before < signs_for,
            "keys.published_before must be shorter than keys.signs_for"
        );
        if let KeyEncryption::Transit { address, .. } = &self.key_encryption {
            ensure!(address.starts_with("https://"), "key_encryption.address must be an https URL");
        }
        Ok(())
    }

    fn check_issuer(&mut self) -> Result<()> {
        let url = url::Url::parse(&self.issuer).context("issuer")?;
        let plain = url.scheme() == "https"
            && url.host().is_some()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        ensure!(plain, "issuer must be an https URL without path, query or fragment");
        self.issuer = self.issuer.trim_end_matches('/').to_owned();
        Ok(())
    }

    fn check_upstream(&self, upstream: &UpstreamConfig) -> Result<()> {
        let name = &upstream.name;
        match &upstream.discover {
            None => {
                ensure!(!upstream.servers.is_empty(), "upstream {name}: servers must not be empty");
            }
            Some(discover) => {
                let one = matches!(
                    (&discover.host, discover.port, &discover.srv),
                    (Some(_), Some(_), None) | (None, None, Some(_))
                );
                ensure!(one, "upstream {name}: discover needs host and port, or srv");
                ensure!(upstream.servers.is_empty(), "upstream {name}: servers or discover");
                ensure!(
                    ["http", "https"].contains(&discover.scheme.as_str()),
                    "upstream {name}: discover.scheme must be http or https"
                );
            }
        }
        ensure!(upstream.retries <= 10, "upstream {name}: retries must be at most 10");
        ensure!(upstream.max_requests > 0, "upstream {name}: max_requests must not be 0");
        let health = upstream.health.as_ref().map_or("/", |health| &health.path);
        ensure!(health.starts_with('/'), "upstream {name}: health.path must begin with /");
        for id in [&upstream.tls.spiffe_id, &upstream.tls.server_spiffe_id].into_iter().flatten() {
            id.parse::<SpiffeId>().with_context(|| format!("upstream {name}"))?;
        }
        let own = upstream.tls.spiffe_id.as_ref().and_then(|id| id.parse::<SpiffeId>().ok());
        let domain = &self.certificates.trust_domain;
        ensure!(
            own.is_none_or(|own| own.trust_domain() == domain),
            "upstream {name}: tls.spiffe_id must begin with spiffe://{domain}/"
        );
        Ok(())
    }

    fn check_route(&self, route: &RouteConfig) -> Result<()> {
        for origin in route.cors.iter().flat_map(|cors| &cors.origins) {
            let url = url::Url::parse(origin).with_context(|| format!("cors: {origin:?}"))?;
            ensure!(
                url.origin().ascii_serialization() == *origin,
                "cors: {origin:?} is not an origin such as https://app.example"
            );
        }
        let known = |name: &String| self.upstreams.iter().any(|upstream| upstream.name == *name);
        match (&route.upstream, route.listen) {
            (None, Door::ForwardAuth) => {
                let trusted = &self.client_address.trusted_proxies;
                ensure!(
                    !trusted.is_empty(),
                    "\"forward-auth\" needs client_address.trusted_proxies: only these may ask"
                );
                ensure!(route.openapi.is_none(), "openapi: another proxy holds the request");
            }
            (Some(_), Door::ForwardAuth) => bail!("\"forward-auth\" has no upstream"),
            (None, _) => bail!("upstream is missing"),
            (Some(name), _) => ensure!(known(name), "there is no upstream called {name}"),
        }
        let strict = route.openapi_mode == ContractMode::Refuse
            && route.openapi_responses == ContractResponses::Redact;
        ensure!(
            route.openapi.is_some() || (strict && route.max_response.is_none()),
            "openapi_mode, openapi_responses and max_response need openapi"
        );
        ensure!(
            route.audience.is_none() || route.listen == Door::ForwardAuth,
            "audience belongs to the upstream"
        );
        if let Some(mistake) = route.limits.iter().find_map(Limit::mistake) {
            bail!("limits: {mistake}");
        }
        for host in &route.hosts {
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.[:]".contains(&b);
            let fits = !host.is_empty() && !host.ends_with('.') && host.bytes().all(plain);
            let bare = host.starts_with('[') || !host.contains(':');
            ensure!(fits && bare, "hosts: {host:?} is not a lower-case host without a port");
        }
        if let Some(console) = self.console.own_host()
            && route.listen == Door::Public
        {
            // A script of the service would be of the console's origin.
            ensure!(
                !route.hosts.is_empty() && !route.hosts.contains(console),
                "console.host is the console's alone: name the hosts of the route, and not that one"
            );
        }
        ensure!(route.path.starts_with('/'), "path must begin with /");
        ensure!(
            !route.authenticate.is_empty(),
            "authenticate must name at least one way; \"none\" opens the route to everyone"
        );
        let has = |kind| route.authenticate.contains(&kind);
        ensure!(
            !has(Authenticate::Session) || route.listen == Door::Public,
            "\"session\" is for the public listener"
        );
        // Whoever had logged in would be sent to log in again, for ever.
        let ours = route.issuers.as_ref().is_none_or(|names| names.iter().any(|n| n == OWN_TOKENS));
        ensure!(
            !has(Authenticate::Session) || ours,
            "\"session\" needs \"portcullis\" among the issuers: it is where people log in"
        );
        ensure!(
            !has(Authenticate::None) || route.scopes.is_empty(),
            "\"none\" and scopes contradict each other"
        );
        ensure!(has(Authenticate::Mtls) || route.spiffe_ids.is_empty(), "spiffe_ids need \"mtls\"");
        if has(Authenticate::Mtls) {
            ensure!(route.listen == Door::Mesh, "\"mtls\" needs listen = \"mesh\"");
            ensure!(self.listen.mesh.is_some(), "listen.mesh is not set");
            ensure!(!route.spiffe_ids.is_empty(), "\"mtls\" needs spiffe_ids");
        }
        for id in &route.spiffe_ids {
            id.parse::<SpiffeId>().with_context(|| id.clone())?;
        }
        for method in &route.methods {
            let token = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
            ensure!(token, "{method} is not a method");
        }
        for name in route.issuers.iter().flatten() {
            let known =
                name == OWN_TOKENS || self.token_issuers.iter().any(|own| own.name == *name);
            ensure!(known, "there is no token_issuer called {name}");
        }
        ensure!(route.issuers.is_none() || has(Authenticate::Bearer), "issuers need \"bearer\"");
        for scope in &route.scopes {
            ensure!(portcullis_types::is_scope_token(scope), "{scope} is not a scope");
        }
        Ok(())
    }
}

pub(super) fn unique<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        ensure!(fits, "{what} {name:?}: a name is 1 to 64 letters, digits, - or _");
        ensure!(seen.insert(name), "{what} {name} is defined twice");
    }
    Ok(())
}
