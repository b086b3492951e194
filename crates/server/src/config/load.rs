//! Reading the file, and overriding parts of it from the environment.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{Config, Mistake, UpstreamConfig};

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
/// So many mistakes are told at once.
const MAX_MISTAKES: usize = 50;
/// Files of rules, and directories of them.
const SIGMA: &str = "detect.sigma";
const EGRESS: &str = "egress.ca";
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
        let (text, base) = Self::read(path)?;
        let loaded = Self::parse(&text, base);
        let loaded = loaded.with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(Self { file: Some(path.to_owned()), ..loaded })
    }

    /// The text of a file, and the directory that its paths begin in.
    pub fn read(path: &Path) -> Result<(String, PathBuf)> {
        let name = path.display();
        let length = std::fs::metadata(path).with_context(|| format!("read {name}"))?.len();
        ensure!(length <= MAX_FILE_BYTES, "{name} is longer than {MAX_FILE_BYTES} bytes");
        let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        Ok((text, path.parent().unwrap_or(Path::new(".")).to_owned()))
    }

    /// Reads and checks a text.
    pub fn parse(text: &str, base: PathBuf) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.base = base;
        config.text = toml::from_str(text)?;
        config.override_listeners()?;
        match config.mistakes().into_iter().next() {
            Some(mistake) => Err(mistake),
            None => Ok(config),
        }
    }

    /// Reads a text that somebody tries out, and tells everything that is wrong with it.
    pub fn inspect(text: &str, base: PathBuf) -> (Option<Self>, Vec<Mistake>) {
        let read = toml::from_str::<Self>(text).and_then(|own| Ok((own, toml::from_str(text)?)));
        let (mut config, read) = match read {
            Ok(read) => read,
            Err(error) => return (None, vec![Mistake::of_toml(text, &error)]),
        };
        (config.base, config.text) = (base, read);
        let mut wrong: Vec<_> = config.override_listeners().err().into_iter().collect();
        wrong.extend(config.mistakes());
        let wrong = wrong.iter().take(MAX_MISTAKES).map(|error| format!("{error:#}"));
        (Some(config), Mistake::find(text, wrong))
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

    /// Every file that it is made of, itself first. Whoever changes one of them changes it.
    pub fn files(&self) -> Vec<PathBuf> {
        // Directories of rules are looked into, and the other waits for a restart.
        let named = self.named().into_iter().filter(|(role, _)| ![SIGMA, EGRESS].contains(role));
        let named = named.map(|(_, path)| path).chain(self.detect.rule_files(self));
        self.file.iter().cloned().chain(named).collect()
    }

    /// The files and directories that it names, by what each is for. Nothing is looked at.
    pub fn named(&self) -> Vec<(&'static str, PathBuf)> {
        let mut all = vec![
            ("tls.certificate", self.tls.certificate.as_ref()),
            ("tls.key", self.tls.key.as_ref()),
            (EGRESS, self.egress.ca.as_ref()),
        ];
        for UpstreamConfig { tls, .. } in &self.upstreams {
            all.push(("upstream.tls.ca", tls.ca.as_ref()));
            all.push(("upstream.tls.certificate", tls.certificate.as_ref()));
            all.push(("upstream.tls.key", tls.key.as_ref()));
        }
        for own in self.token_issuers.iter().filter_map(|own| own.introspection.as_ref()) {
            all.push(("token_issuer.client_secret_file", own.client_secret_file.as_ref()));
        }
        all.extend(self.routes.iter().map(|route| ("route.openapi", route.openapi.as_ref())));
        for own in &self.sinks {
            all.push(("sink.ca", own.ca.as_ref()));
            all.push(("sink.certificate", own.certificate.as_ref()));
            all.push(("sink.key", own.key.as_ref()));
            all.push(("sink.secret_file", own.secret_file.as_ref()));
        }
        if let Some(own) = &self.policy {
            all.push(("policy.schema", own.schema.as_ref()));
            all.extend(own.files.iter().map(|path| ("policy.files", Some(path))));
        }
        all.extend(self.detect.files().map(|path| ("detect.maps", Some(path))));
        all.extend(self.detect.sigma.iter().map(|path| (SIGMA, Some(path))));
        let named = all.into_iter().filter_map(|(role, path)| Some((role, self.path(path?))));
        named.collect()
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
