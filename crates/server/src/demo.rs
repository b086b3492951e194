//! `--demo`: accounts, clients and a configuration to try everything with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::BASE64URL_NOPAD;
use portcullis_events::{Actor, Origin};
use portcullis_identity::NewAccount;
use portcullis_jose::Alg;
use portcullis_oidc::{AuthMethod, ClientSettings, ClientSpec, GrantType};
use portcullis_types::{Secret, SharedEntropy, random_array};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{app::App, config::Config, system};

/// Where the sample services listen, unless `PORTCULLIS_PROFILE_PORT` and `PORTCULLIS_ADMIN_PORT`
/// say otherwise.
const PROFILE_PORT: u16 = 7001;
const ADMIN_PORT: u16 = 7002;
const CREDENTIALS: &str = "demo-credentials.json";
const DEMO: &str = "demo.json";

/// What was made up at the first start, kept to be shown again.
#[derive(Serialize, Deserialize)]
struct Credentials {
    admin: Person,
    users: Vec<Person>,
    service_secret: String,
    operator_secret: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Person {
    username: String,
    email: String,
    password: String,
}

/// The configuration of the demo.
pub fn config() -> Result<Config> {
    let port = |name: &str, default: u16| match system::variable(name) {
        Some(text) => text.parse::<u16>().with_context(|| name.to_owned()),
        None => Ok(default),
    };
    let profile = port("PORTCULLIS_PROFILE_PORT", PROFILE_PORT)?;
    let admin = port("PORTCULLIS_ADMIN_PORT", ADMIN_PORT)?;
    let text = include_str!("demo.toml")
        .replace("127.0.0.1:7001", &format!("127.0.0.1:{profile}"))
        .replace("127.0.0.1:7002", &format!("127.0.0.1:{admin}"));
    Config::parse(&text, PathBuf::from("."))
}

/// The file is gone until everything answers.
pub fn announce_nothing(data: &Path) {
    let _ = std::fs::remove_file(data.join(DEMO));
}

/// Makes the accounts and clients at the first start, and returns what to write when everything
/// answers.
pub async fn prepare(app: &App, mail_dir: &Path) -> Result<Value> {
    let path = app.data.join(CREDENTIALS);
    let credentials = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("read the demo credentials")?,
        Err(_) => {
            let made = seed(app).await?;
            write_private(&path, &serde_json::to_vec_pretty(&made)?)?;
            made
        }
    };
    Ok(describe(app, &credentials, mail_dir))
}

/// Writes `demo.json`.
pub fn announce(data: &Path, demo: &Value) -> Result<()> {
    write_private(&data.join(DEMO), &serde_json::to_vec_pretty(demo)?)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(std::fs::rename(&temporary, path)?)
}

async fn seed(app: &App) -> Result<Credentials> {
    let admin = person("admin", &app.entropy);
    add_person(app, &admin, &["admin".to_owned()]).await?;
    let mut users = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let user = person(name, &app.entropy);
        add_person(app, &user, &[]).await?;
        users.push(user);
    }
    let issuer = &app.config.issuer;
    let web = ClientSpec {
        id: Some("web".into()),
        name: "Demo web application".into(),
        auth_method: AuthMethod::None,
        first_party: false,
        redirect_uris: vec!["http://127.0.0.1/callback".into(), web_redirect()],
        post_logout_redirect_uris: vec!["http://127.0.0.1:7010/".into()],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: ["openid", "profile", "email", "groups", "roles", "account", "admin", "aml", "idv"]
            .map(str::to_owned)
            .to_vec(),
        audiences: vec![],
        jwks: None,
        token_alg: Alg::EdDsa,
        settings: ClientSettings::default(),
    };
    add_client(app, &web).await?;
    let machine = |id: &str, name: &str, scopes: &[&str], audiences: Vec<String>| ClientSpec {
        id: Some(id.into()),
        name: name.into(),
        auth_method: AuthMethod::ClientSecretBasic,
        first_party: true,
        redirect_uris: vec![],
        post_logout_redirect_uris: vec![],
        grant_types: vec![GrantType::ClientCredentials],
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        audiences,
        ..web.clone()
    };
    let elsewhere = vec![issuer.clone(), "https://elsewhere.example".to_owned()];
    let service = machine("service", "Demo service", &["profile", "introspection"], elsewhere);
    let operator = machine("operator", "Demo operator", &["admin", "aml", "idv"], vec![]);
    Ok(Credentials {
        admin,
        users,
        service_secret: add_client(app, &service).await?.unwrap_or_default(),
        operator_secret: add_client(app, &operator).await?.unwrap_or_default(),
    })
}

fn web_redirect() -> String {
    "http://127.0.0.1:7010/callback".to_owned()
}

fn person(name: &str, entropy: &SharedEntropy) -> Person {
    let password = BASE64URL_NOPAD.encode(&random_array::<18>(&**entropy));
    Person { username: name.into(), email: format!("{name}@example.org"), password }
}

async fn add_person(app: &App, person: &Person, roles: &[String]) -> Result<()> {
    let account = NewAccount {
        username: person.username.clone(),
        email: person.email.clone(),
        password: Secret::new(person.password.clone()),
        roles: roles.to_vec(),
    };
    app.identity.create_account(&account, &Actor::System, &Origin::default()).await?;
    Ok(())
}

async fn add_client(app: &App, spec: &ClientSpec) -> Result<Option<String>> {
    let made = app.provider.create_client(spec, &Actor::System, &Origin::default()).await?;
    Ok(made.1.map(|secret| secret.expose().clone()))
}

fn describe(app: &App, credentials: &Credentials, mail_dir: &Path) -> Value {
    let absolute = |path: &Path| {
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
    };
    let listen = &app.config.listen;
    let host = url::Url::parse(&app.config.issuer).ok();
    let host = host.as_ref().and_then(|url| url.host_str()).unwrap_or("localhost");
    json!({
        "issuer": app.config.issuer,
        "gateway": app.config.issuer,
        "mesh": listen.mesh.map(|addr| format!("https://{host}:{}", addr.port())),
        "ops": listen.operations.map(|addr| format!("http://{addr}")),
        "ca_file": absolute(&app.data.join("ca.pem")),
        "admin": { "username": credentials.admin.username, "password": credentials.admin.password },
        "users": credentials.users,
        "clients": {
            "web": { "client_id": "web", "redirect_uri": web_redirect() },
            "service": { "client_id": "service", "client_secret": credentials.service_secret },
            "operator": { "client_id": "operator", "client_secret": credentials.operator_secret },
        },
        "mail_dir": absolute(mail_dir),
    })
}

/// Five commands to try, for the terminal.
pub fn commands(demo: &Value, data: &Path) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (issuer, ca) = (text(&demo["issuer"]), text(&demo["ca_file"]));
    let operator = text(&demo["clients"]["operator"]["client_secret"]);
    let data = data.display();
    let program = std::env::current_exe()
        .map_or_else(|_| "portcullis".into(), |path| path.display().to_string());
    format!(
        "Five commands to try (demo.json in {data} has every password):\n\
         \n  1. What the provider offers\n\
         \x20    curl --cacert {ca} {issuer}/.well-known/openid-configuration\n\
         \n  2. A service behind the gate, without a token\n\
         \x20    curl -i --cacert {ca} {issuer}/profile/me\n\
         \n  3. A token for the operator, and the users through the admin API\n\
         \x20    TOKEN=$(curl -s --cacert {ca} -u operator:{operator} -d grant_type=client_credentials -d scope=admin {issuer}/oauth2/token | sed 's/.*\"access_token\":\"\\([^\"]*\\).*/\\1/')\n\
         \x20    curl --cacert {ca} -H \"Authorization: Bearer $TOKEN\" {issuer}/api/admin/v1/users\n\
         \n  4. The same token at the admin service\n\
         \x20    curl --cacert {ca} -H \"Authorization: Bearer $TOKEN\" {issuer}/admin-service/status\n\
         \n  5. What was recorded, and the proof that nobody changed it\n\
         \x20    {program} audit search --data {data} --kind authn_ --limit 5\n\
         \x20    {program} audit verify --data {data}\n"
    )
}
