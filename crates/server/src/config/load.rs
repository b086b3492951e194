//! Reading the file, overriding parts of it from the environment, and checking the whole.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_gateway::OWN_TOKENS;
use portcullis_pki::SpiffeId;

use super::{
    Authenticate, Config, ContractMode, ContractResponses, Door, KeyEncryption, Keys, Limit,
    PROTECTED, RouteConfig, SinkConfig, TlsMode,
};

use crate::system;

/// What a reload takes over. Everything else is wired once, at the start.
const RELOADABLE: [&str; 11] = [
    "audit",
    "client_address",
    "detect",
    "policy",
    "protect",
    "route",
    "sink",
    "tls",
    "token_issuer",
    "upstream",
    "workload",
];
/// The file is at most this long.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

impl Config {
    /// The issuer's host, with its port if it has one of its own.
    pub fn authority(&self) -> String {
        self.issuer.trim_start_matches("https://").to_owned()
    }

    /// The names under which clients reach the gate.
    pub fn own_hosts(&self) -> Vec<String> {
        let urls = [Some(self.issuer.clone()), self.mesh_url()];
        let authority = |url: String| {
            let url = url::Url::parse(&url).ok()?;
            Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
        };
        let known = urls.into_iter().flatten().filter_map(authority);
        known.chain(self.listen.hosts.iter().cloned()).collect()
    }

    /// Where clients reach the mesh listener.
    pub fn mesh_url(&self) -> Option<String> {
        let port = self.listen.mesh?.port();
        let given = self.listen.mesh_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        given.or_else(|| {
            let issuer = url::Url::parse(&self.issuer).ok()?;
            Some(format!("https://{}:{port}", issuer.host_str()?))
        })
    }

    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let length = std::fs::metadata(path).with_context(|| format!("read {name}"))?.len();
        ensure!(length <= MAX_FILE_BYTES, "{name} is longer than {MAX_FILE_BYTES} bytes");
        let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        let base = path.parent().unwrap_or(Path::new(".")).to_owned();
        let loaded = Self::parse(&text, base).with_context(|| format!("{name} cannot be used"))?;
        Ok(Self { file: Some(path.to_owned()), ..loaded })
    }

    /// Reads and checks a text.
    pub fn parse(text: &str, base: PathBuf) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.base = base;
        config.text = toml::from_str(text)?;
        config.override_listeners()?;
        config.check()?;
        Ok(config)
    }

    /// `PORTCULLIS_LISTEN_PUBLIC=127.0.0.1:9443` or `PORTCULLIS_PUBLIC_PORT=9443`, and the same for
    /// MESH and OPERATIONS. The issuer follows the public port if it named the old one.
    fn override_listeners(&mut self) -> Result<()> {
        if let Some(addr) = listener("PUBLIC", Some(self.listen.public))? {
            let (old, new) = (self.listen.public.port(), addr.port());
            self.listen.public = addr;
            if let Some(host) = self.issuer.strip_suffix(&format!(":{old}")) {
                self.issuer = format!("{host}:{new}");
            }
        }
        if let Some(addr) = listener("MESH", self.listen.mesh)? {
            self.listen.mesh = Some(addr);
        }
        if let Some(addr) = listener("OPERATIONS", self.listen.operations)? {
            self.listen.operations = Some(addr);
        }
        if let Some(issuer) = system::variable("PORTCULLIS_ISSUER") {
            self.issuer = issuer;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        self.check_issuer()?;
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
        self.verification.check()?;
        self.console.check(&self.issuer)?;
        for host in &self.listen.hosts {
            let url = url::Url::parse(&format!("https://{host}"));
            let bare = url.is_ok_and(|url| {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let plain = format!("{}{port}", url.host_str().unwrap_or_default());
                plain.eq_ignore_ascii_case(host.strip_suffix(":443").unwrap_or(host))
            });
            ensure!(bare && !host.contains('*'), "listen.hosts: {host:?} is not HOST or HOST:PORT");
        }
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
        self.check_keys(longest)?;
        for (name, protect) in &self.protect {
            ensure!(PROTECTED.contains(&name.as_str()), "protect.{name}: there is no such door");
            if let Some(mistake) = protect.limits.iter().find_map(Limit::mistake) {
                bail!("protect.{name}: {mistake}");
            }
        }
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
        self.check_token_issuers()?;
        self.check_certificates()?;
        self.detect.check()?;
        self.audit.check()?;
        self.tracing.as_ref().map_or(Ok(()), super::TracingConfig::check)?;
        super::sink::check(&self.sinks)?;
        self.check_upstreams()?;
        self.routes.iter().try_for_each(|route| {
            self.check_route(route).with_context(|| format!("route {}", route.name))
        })?;
        unique("route", self.routes.iter().map(|route| &route.name))
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

    fn check_upstreams(&self) -> Result<()> {
        for upstream in &self.upstreams {
            let name = &upstream.name;
            match &upstream.discover {
                None => {
                    ensure!(
                        !upstream.servers.is_empty(),
                        "upstream {name}: servers must not be empty"
                    );
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
            for id in
                [&upstream.tls.spiffe_id, &upstream.tls.server_spiffe_id].into_iter().flatten()
            {
                id.parse::<SpiffeId>().with_context(|| format!("upstream {name}"))?;
            }
            let own = upstream.tls.spiffe_id.as_ref().and_then(|id| id.parse::<SpiffeId>().ok());
            let domain = &self.certificates.trust_domain;
            ensure!(
                own.is_none_or(|own| own.trust_domain() == domain),
                "upstream {name}: tls.spiffe_id must begin with spiffe://{domain}/"
            );
        }
        unique("upstream", self.upstreams.iter().map(|upstream| &upstream.name))
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

    /// Every file that it is made of, itself first. Whoever changes one of them changes it.
    pub fn files(&self) -> Vec<PathBuf> {
        let tls = [&self.tls.certificate, &self.tls.key];
        let upstreams = self.upstreams.iter().map(|upstream| &upstream.tls);
        let upstreams = upstreams.flat_map(|tls| [&tls.ca, &tls.certificate, &tls.key]);
        let secrets = self.token_issuers.iter().filter_map(|own| own.introspection.as_ref());
        let secrets = secrets.map(|own| &own.client_secret_file);
        let contracts = self.routes.iter().map(|route| &route.openapi);
        let policy = self.policy.iter();
        let policy = policy.flat_map(|own| own.files.iter().chain(&own.schema));
        let named = tls.into_iter().chain(upstreams).chain(contracts).chain(secrets).flatten();
        let named = named.chain(policy).chain(self.detect.files());
        let named = named.chain(self.sinks.iter().flat_map(SinkConfig::files));
        let named = named.map(|path| self.path(path)).chain(self.detect.rule_files(self));
        self.file.iter().cloned().chain(named).collect()
    }

    /// The parts that differ from `running` and that only a restart can change.
    pub fn needs_restart(&self, running: &Self) -> Vec<String> {
        let mut keys: BTreeSet<&String> = self.text.keys().chain(running.text.keys()).collect();
        keys.retain(|key| !RELOADABLE.contains(&key.as_str()));
        keys.retain(|key| self.text.get(*key) != running.text.get(*key));
        keys.into_iter().cloned().collect()
    }

    /// A path of the file, from the directory of the file.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

fn listener(name: &str, configured: Option<SocketAddr>) -> Result<Option<SocketAddr>> {
    let address = format!("PORTCULLIS_LISTEN_{name}");
    let port = format!("PORTCULLIS_{name}_PORT");
    if let Some(text) = system::variable(&address) {
        return Ok(Some(text.parse().with_context(|| address)?));
    }
    let Some(text) = system::variable(&port) else {
        return Ok(None);
    };
    let number: u16 = text.parse().with_context(|| port)?;
    let mut addr = configured.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    addr.set_port(number);
    Ok(Some(addr))
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

#[cfg(test)]
mod tests {
    use super::{super::schema, *};

    const MINIMAL: &str = "issuer = \"https://localhost:8443\"\n[listen]\npublic = \"127.0.0.1:8443\"\n[database]\nurl = \"sqlite:x.db\"\n";

    fn refused(more: &str) -> String {
        let text = format!("{MINIMAL}{more}");
        format!("{:#}", Config::parse(&text, PathBuf::new()).unwrap_err())
    }

    #[test]
    fn a_minimal_file_is_enough() {
        assert!(Config::parse(MINIMAL, PathBuf::new()).is_ok());
    }

    #[test]
    fn the_gate_knows_its_names() {
        let with = |hosts: &str| {
            let listen = format!("[listen]\nhosts = [{hosts}]");
            Config::parse(&MINIMAL.replace("[listen]", &listen), PathBuf::new())
        };
        let good =
            with(r#""api.example.org", "Api.example.org:8443", "[2001:db8::1]:8443", "x:443""#);
        let known = good.unwrap().own_hosts();
        assert_eq!(known[0], "localhost:8443");
        assert_eq!(known.len(), 5);
        // A name that could never match would refuse every proof, and nobody would know why.
        for bad in
            ["https://api.example.org", "api.example.org/", "a b", "", "user@x", "x:0x", "*.x"]
        {
            let refused = with(&format!("{bad:?}"));
            let text = format!("{:#}", refused.err().unwrap_or_else(|| panic!("{bad}")));
            assert!(text.contains("listen.hosts"), "{bad}: {text}");
        }
    }

    /// Editors read the copy in `docs/`; `portcullis check --schema` writes it.
    #[test]
    fn the_published_schema_is_this_one_and_fits_the_examples() {
        let text = schema();
        let published = include_str!("../../../../docs/portcullis.schema.json");
        assert!(published == text, "`portcullis check --schema` writes another one");
        let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
        let example = include_str!("../../../../examples/portcullis.example.toml");
        for good in [MINIMAL, example, include_str!("../demo.toml")] {
            let instance: serde_json::Value = toml::from_str(good).unwrap();
            assert!(schema.is_valid(&instance), "{:?}", schema.validate(&instance));
        }
        let limit = "[protect.login]\nlimits = [{ key = \"ip\", rate = \"5/minute\" }]\n";
        for bad in ["[tls]\nmod = \"files\"\n", limit, "[detect]\nblock = \"15\"\n"] {
            let instance: serde_json::Value = toml::from_str(&format!("{MINIMAL}{bad}")).unwrap();
            assert!(!schema.is_valid(&instance), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (more, word) in [
            ("[cluster]\nurl = \"valkey://x\"\n", "cluster.url"),
            ("[protect.logon]\nlimits = []\n", "protect.logon"),
            ("[protect.login]\nlimits = [{ key = \"ip\", rate = \"5/minute\" }]\n", "rate"),
            (
                "[protect.login]\nlimits = [{ key = \"ip\", rate = \"5/min\", block = \"15\" }]\n",
                "time",
            ),
            ("[tls]\nmode = \"files\"\n", "certificate"),
            ("[tls]\nmod = \"files\"\n", "unknown field"),
            ("[[upstream]]\nname = \"a\"\nservers = []\n", "upstream a"),
            (
                "[[route]]\nname = \"r\"\npath = \"/x\"\nupstream = \"a\"\nauthenticate = [\"bearer\"]\n",
                "no upstream",
            ),
            ("[tokens]\naccess_token_lifetime = \"2h\"\n", "at most"),
            ("[tokens]\nstatus_list_lifetime = \"2s\"\n", "status_list_lifetime"),
            ("[client_address]\ntrusted_proxies = [\"10.0.0.0/33\"]\n", "trusted_proxies"),
        ] {
            let text = refused(more);
            assert!(text.contains(word), "{more}: {text}");
        }
        let open = "[[upstream]]\nname = \"a\"\nservers = [\"http://x\"]\n[[route]]\nname = \"r\"\npath = \"/x\"\nupstream = \"a\"\n";
        assert!(refused(open).contains("authenticate"));
        assert!(refused(&format!("{open}authenticate = []\n")).contains("authenticate"));
        assert!(
            refused(&format!("{open}authenticate = [\"none\"]\nscopes = [\"x\"]\n"))
                .contains("contradict")
        );
        assert!(refused(&format!("{open}authenticate = [\"mtls\"]\n")).contains("mesh"));
    }
}
