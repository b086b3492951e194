//! Others whose access tokens are accepted.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use portcullis_jose::Alg;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::{Config, check::unique};

/// Such as a Keycloak realm, an Auth0 or an Entra tenant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenIssuer {
    /// Letters, digits, - and _; 1 to 64. It stands before every name that comes from there, such as
    /// `keycloak:1234`, in events, limits, policies, and the `sub` that services see.
    pub name: String,
    /// Its `iss`, exactly. Metadata is looked for below it.
    pub issuer: String,
    /// Any of these must be in `aud`.
    pub audiences: Vec<String>,
    /// What it may sign with.
    #[serde(default = "all_algorithms", deserialize_with = "algorithms")]
    #[schemars(with = "Vec<String>")]
    pub algorithms: Vec<Alg>,
    /// Take only tokens of the type `at+jwt` (RFC 9068). Keycloak and Entra call theirs `JWT`.
    #[serde(default)]
    pub typed: bool,
    /// Where its keys are, if not where its metadata says.
    pub jwks_uri: Option<String>,
    /// Accept only these of its keys, by RFC 7638 thumbprint.
    #[serde(default)]
    pub pins: Vec<String>,
    /// Where in the claims roles are, as a JSON pointer such as `/realm_access/roles`.
    pub roles: Option<String>,
    /// Where groups are.
    pub groups: Option<String>,
    /// Ask it about tokens that are no JWT (RFC 7662).
    pub introspection: Option<IntrospectionConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// An https URL.
    pub endpoint: String,
    /// What we are called there.
    pub client_id: String,
    /// A file with the secret; the variable `PORTCULLIS_ISSUER_<NAME>_SECRET` if left out.
    pub client_secret_file: Option<PathBuf>,
}

impl TokenIssuer {
    /// The variable that holds the secret, if no file does.
    pub fn variable(&self) -> String {
        let name = self.name.to_uppercase().replace('-', "_");
        format!("PORTCULLIS_ISSUER_{name}_SECRET")
    }
}

fn all_algorithms() -> Vec<Alg> {
    Alg::ALL.to_vec()
}

fn algorithms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Alg>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = Alg::ALL.map(Alg::as_str).join(", ");
    let read = |name: &String| {
        Alg::parse(name).ok_or_else(|| de::Error::custom(format!("{name} is not one of {known}")))
    };
    names.iter().map(read).collect()
}

impl Config {
    pub(super) fn check_token_issuers(&self) -> Result<()> {
        for issuer in &self.token_issuers {
            let name = &issuer.name;
            let is_https =
                |url: &str| url::Url::parse(url).is_ok_and(|url| url.scheme() == "https");
            ensure!(is_https(&issuer.issuer), "token_issuer {name}: issuer must be an https URL");
            ensure!(issuer.issuer != self.issuer, "token_issuer {name}: that is this installation");
            ensure!(
                !issuer.audiences.is_empty(),
                "token_issuer {name}: audiences must not be empty"
            );
            ensure!(
                !issuer.algorithms.is_empty(),
                "token_issuer {name}: algorithms must not be empty"
            );
            let introspection = issuer.introspection.as_ref().map(|own| own.endpoint.as_str());
            for url in [issuer.jwks_uri.as_deref(), introspection].into_iter().flatten() {
                ensure!(is_https(url), "token_issuer {name}: {url:?} is not an https URL");
            }
            for pointer in [&issuer.roles, &issuer.groups].into_iter().flatten() {
                ensure!(
                    pointer.starts_with('/'),
                    "token_issuer {name}: {pointer:?} is no JSON pointer"
                );
            }
            let same = self.token_issuers.iter().filter(|other| other.issuer == issuer.issuer);
            ensure!(same.count() == 1, "token_issuer {name}: another has the same issuer");
        }
        unique("token_issuer", self.token_issuers.iter().map(|issuer| &issuer.name))
    }
}
