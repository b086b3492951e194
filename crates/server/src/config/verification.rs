use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use portcullis_egress::webhook::Secret;
use portcullis_identity::Assurance;
use portcullis_oidc::{CREDENTIAL_LIFETIME_MAX, ProofRule};
use portcullis_phone::is_region;
use portcullis_verification::{CheckProvider, SmsTerms, is_trust_framework};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{optional_span, span_schema};

/// Values of `acr` that there may be.
const ACR_MAX: usize = 16;
/// Bytes of one.
const ACR_MAX_BYTES: usize = 128;
/// The least that an approval counts: for the way back, and to log in.
const MAX_AGE_MIN: Duration = Duration::from_secs(600);
/// The longest that somebody waits.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long pictures are kept, if nothing is said, and the limits of that.
const PICTURES: Duration = Duration::from_secs(72 * 3_600);
const PICTURES_MIN: Duration = Duration::from_secs(3_600);
const PICTURES_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Providers that there may be.
const PROVIDERS_MAX: usize = 64;
/// How long one may take, if nothing is said.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);
/// Text messages in an hour, if nothing is said.
const SMS_HOURLY: u32 = 300;
/// Has the form of a secret, to look at everything else.
const PLACEHOLDER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Issuers that there may be, and types of credentials of each.
const ISSUERS_MAX: usize = 32;
const TYPES_MAX: usize = 16;
/// Types that wallets can be asked for at once, ours among them.
const TYPES_ALL_MAX: usize = 32;
/// How long credentials count, if nothing is said, and the limits of that.
const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3_600);
const CREDENTIAL_LIFETIME_MIN: Duration = Duration::from_secs(24 * 3_600);
/// How long somebody who was declined waits, if nothing is said.
const RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Identity verification.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationConfig {
    /// By whose rules workflows may verify whom accounts belong to: names that clients find in
    /// `trust_framework` of `verified_claims`, such as `eidas` or one of your own. None is told anything if
    /// there are none.
    #[serde(default)]
    pub trust_frameworks: Vec<String>,
    /// Domains of mail that anybody has for ten minutes: a text file with one on each line.
    pub disposable_domains: Option<PathBuf>,
    /// Who is asked whether domains of mail take any: `system`, or the address of a server of the DNS with its port.
    /// Nobody is if nothing is said.
    #[schemars(with = "Option<String>")]
    pub mail_resolver: Option<MailResolver>,
    /// A directory with models for faces, in ONNX, each with its descriptor beside it. What needs one is not performed
    /// if nothing is said.
    pub models: Option<PathBuf>,
    /// How long pictures that people give are kept for somebody to look at them, `1h` to `30d`; 72h if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub keep_pictures: Option<Duration>,
    /// What clients can ask for in `acr_values` that a workflow has to approve.
    #[serde(default)]
    pub acr: Vec<AcrConfig>,
    /// Who else does checks: registers that are asked, and whoever looks at documents.
    #[serde(default)]
    pub provider: Vec<ProviderConfig>,
    /// How codes go out as text messages. Steps `phone` are not performed if nothing is said.
    pub sms: Option<SmsConfig>,
    /// Credentials for wallets: what was verified of a person, for them to show elsewhere. None are issued if
    /// nothing is said.
    pub credentials: Option<CredentialConfig>,
    /// Whose credentials count that people show from their wallets, beside our own.
    #[serde(default)]
    pub issuer: Vec<IssuerConfig>,
    /// The certificate that requests to wallets are signed with.
    pub requests: Option<RequestConfig>,
}

/// Somebody whose credentials count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// As `iss` has it, https. Keys are read from its `/.well-known/jwt-vc-issuer`.
    pub issuer: String,
    /// What its credentials may be: values of `vct`.
    pub types: Vec<String>,
    /// Which of these prove who somebody is: the check `credential` of workflows takes no others.
    #[serde(default)]
    pub identity: Vec<String>,
    /// Hosts beside its own where its keys and status lists may be.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// A certificate that wallets trust, of a key on P-256. The authority of the installation issues one if nothing is
/// said.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestConfig {
    /// A file with the certificate and what stands between it and the authority, PEM.
    pub certificate: PathBuf,
    /// A file with its key, PEM.
    pub key: PathBuf,
}

/// Servers of the DNS.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct MailResolver(Option<SocketAddr>);

impl MailResolver {
    /// The server; none for those of the system.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0
    }
}

impl TryFrom<String> for MailResolver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match &text[..] {
            "system" => Ok(Self(None)),
            other => match other.parse() {
                Ok(address) => Ok(Self(Some(address))),
                Err(_) => Err("must be system, or an address with a port".to_owned()),
            },
        }
    }
}

/// Whoever hands over text messages, by the contract `idv.sms/1`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmsConfig {
    /// Where they are handed over, https.
    pub url: String,
    /// A file with the secret `whsec_…` by which it knows us; the variable `PORTCULLIS_SMS_SECRET` if left out.
    pub secret_file: Option<PathBuf>,
    /// The countries of the numbers that they go to, such as `DE`: whoever earns by dear calls has them sent abroad.
    pub regions: Vec<String>,
    /// How many go out in an hour, from 1; 300 if nothing is said.
    pub hourly: Option<u32>,
}

impl SmsConfig {
    fn check(&self) -> Result<()> {
        let https = url::Url::parse(&self.url).is_ok_and(|url| url.scheme() == "https");
        ensure!(https, "verification.sms: url must be https");
        ensure!(
            !self.regions.is_empty() && self.regions.iter().all(|code| is_region(code)),
            "verification.sms: regions must be some with two capital letters, such as DE"
        );
        ensure!(self.hourly != Some(0), "verification.sms: hourly must be at least 1");
        Ok(())
    }

    /// By which terms they go out. `issuer` is where our pages are.
    pub fn terms(&self, issuer: &str) -> SmsTerms {
        let host = url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        SmsTerms {
            regions: self.regions.clone(),
            hourly: self.hourly.unwrap_or(SMS_HOURLY).into(),
            host: host.unwrap_or_default(),
        }
    }
}

/// Credentials for wallets (OpenID for Verifiable Credential Issuance 1.0).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// How long they count, `1d` to `2y`; 90d if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub lifetime: Option<Duration>,
}

impl CredentialConfig {
    /// How long they count.
    pub fn lifetime(&self) -> Duration {
        self.lifetime.unwrap_or(CREDENTIAL_LIFETIME)
    }
}

/// Somebody who does checks, by the contract `idv.provider/1`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// As graphs name it.
    pub name: String,
    /// Where it is asked, https.
    pub url: String,
    /// A file with the secret `whsec_…` by which it knows us; the variable `PORTCULLIS_PROVIDER_<NAME>_SECRET` if
    /// left out, in capitals and with `_` for `-`.
    pub secret_file: Option<PathBuf>,
    /// What it is told of the person: `surname`, `given_names`, `date_of_birth`, `date_of_expiry`,
    /// `document_number`, `nationality`, `issuing_state`, `sex`, kinds of identifiers such as `email`, and `document`
    /// for whoever looks at what people send.
    #[serde(default)]
    pub sends: Vec<String>,
    /// By what it knows: `database`, `heuristic` or `self_asserted`.
    #[serde(default = "database")]
    #[schemars(with = "String")]
    pub assurance: portcullis_verification::Assurance,
    /// How long it may take, at most 45s; 10s if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub timeout: Option<Duration>,
}

fn database() -> portcullis_verification::Assurance {
    portcullis_verification::Assurance::Database
}

impl ProviderConfig {
    /// Where the secret is if there is no file.
    pub fn variable(&self) -> String {
        format!("PORTCULLIS_PROVIDER_{}_SECRET", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// What the service makes of it, with its secret.
    pub fn provider(&self, secret: &str) -> Result<CheckProvider> {
        let name = &self.name;
        let secret = Secret::read(secret)
            .with_context(|| format!("verification.provider {name}: the secret is not whsec_…"))?;
        let provider = CheckProvider {
            name: name.clone(),
            url: self.url.clone(),
            secret,
            sends: self.sends.clone(),
            assurance: self.assurance,
            timeout: self.timeout.unwrap_or(PROVIDER_TIMEOUT),
        };
        match provider.problem() {
            Some(problem) => bail!("verification.provider {name}: {problem}"),
            None => Ok(provider),
        }
    }
}

/// A value of `acr` that stands for a verification of the person. Whoever logs in for it and was not verified goes
/// through the workflow first.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcrConfig {
    /// As clients ask for it and tokens say it, such as `urn:example:verified`.
    pub value: String,
    /// The name of the workflow.
    pub workflow: String,
    /// How long an approval counts, such as `365d`; as long as it is kept if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub max_age: Option<Duration>,
    /// Whether only approvals by the current version of the workflow count.
    #[serde(default)]
    pub current_version: bool,
    /// Whether only approvals count whose person is monitored, and ends when that finds more about them.
    #[serde(default)]
    pub current_screening: bool,
    /// How long somebody who was declined waits before they can try again; a day if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub retry_after: Option<Duration>,
    /// How the person has to log in besides, such as `urn:portcullis:acr:multi-factor`.
    pub login: Option<String>,
    /// Whether the person is verified with a passkey, and has to log in with that one from then on.
    #[serde(default)]
    pub passkey: bool,
}

impl VerificationConfig {
    /// Whether all of it makes sense.
    pub fn check(&self) -> Result<()> {
        let mut frameworks = std::collections::BTreeSet::new();
        for name in &self.trust_frameworks {
            ensure!(
                is_trust_framework(name) && frameworks.insert(name),
                "verification.trust_frameworks: {name:?} must be there once and have 1 to 128 letters, digits \
                 and any of _-.:/"
            );
        }
        ensure!(
            (PICTURES_MIN..=PICTURES_MAX).contains(&self.keep_pictures()),
            "verification.keep_pictures: must be 1h to 30d"
        );
        ensure!(self.acr.len() <= ACR_MAX, "verification.acr: at most {ACR_MAX} values");
        let mut values = std::collections::BTreeSet::new();
        for acr in &self.acr {
            let value = &acr.value;
            let fits = (1..=ACR_MAX_BYTES).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
            ensure!(
                fits && values.insert(value) && Assurance::of_acr(value).is_none(),
                "verification.acr: {value:?} must be there once, have 1 to {ACR_MAX_BYTES} visible letters of \
                 ASCII, and not be a value of ours"
            );
        }
        let mut names = std::collections::BTreeSet::new();
        ensure!(self.provider.len() <= PROVIDERS_MAX, "verification.provider: at most 64");
        for provider in &self.provider {
            ensure!(
                names.insert(provider.variable()),
                "verification.provider: {:?} is there twice",
                provider.name
            );
            let https = url::Url::parse(&provider.url).is_ok_and(|url| url.scheme() == "https");
            ensure!(https, "verification.provider {}: url must be https", provider.name);
            // The secret is read where files are.
            provider.provider(PLACEHOLDER)?;
        }
        if let Some(sms) = &self.sms {
            sms.check()?;
        }
        if let Some(credentials) = &self.credentials {
            let limits = CREDENTIAL_LIFETIME_MIN..=CREDENTIAL_LIFETIME_MAX;
            ensure!(
                limits.contains(&credentials.lifetime()),
                "verification.credentials: lifetime must be 1d to 2y"
            );
            ensure!(
                !self.trust_frameworks.is_empty(),
                "verification.credentials: there is nothing to put into them without trust_frameworks"
            );
        }
        ensure!(self.issuer.len() <= ISSUERS_MAX, "verification.issuer: at most {ISSUERS_MAX}");
        let mut issuers = std::collections::BTreeSet::new();
        for one in &self.issuer {
            let name = &one.issuer;
            let url = url::Url::parse(name);
            let fits = url.is_ok_and(|url| {
                url.scheme() == "https" && url.query().is_none() && url.fragment().is_none()
            });
            ensure!(
                fits && issuers.insert(name),
                "verification.issuer: {name:?} must be there once, and an https URL"
            );
            let types = &one.types;
            let fits = |text: &String| (1..=256).contains(&text.len());
            ensure!(
                (1..=TYPES_MAX).contains(&types.len()) && types.iter().all(fits),
                "verification.issuer {name}: types must be 1 to {TYPES_MAX} values of vct"
            );
        }
        for one in &self.issuer {
            ensure!(
                one.identity.iter().all(|own| one.types.contains(own)),
                "verification.issuer {}: identity must name some of its types",
                one.issuer
            );
            ensure!(
                one.hosts.len() <= TYPES_MAX,
                "verification.issuer {}: too many hosts",
                one.issuer
            );
        }
        let types: std::collections::BTreeSet<_> =
            self.issuer.iter().flat_map(|one| &one.types).collect();
        ensure!(
            types.len() < TYPES_ALL_MAX,
            "verification.issuer: at most {} types in all",
            TYPES_ALL_MAX - 1
        );
        self.proofs().map(drop)
    }

    /// How long pictures are kept.
    pub fn keep_pictures(&self) -> Duration {
        self.keep_pictures.unwrap_or(PICTURES)
    }

    /// What the provider makes of it.
    pub fn proofs(&self) -> Result<Vec<Arc<ProofRule>>> {
        self.acr.iter().map(|acr| acr.rule().map(Arc::new)).collect()
    }
}

impl AcrConfig {
    fn rule(&self) -> Result<ProofRule> {
        let fits =
            |most: Option<Duration>, from, to| most.is_none_or(|most| (from..=to).contains(&most));
        ensure!(
            fits(self.max_age, MAX_AGE_MIN, Duration::MAX),
            "verification.acr: max_age must be at least 10min, or nobody comes back in time"
        );
        ensure!(
            fits(self.retry_after, Duration::ZERO, RETRY_AFTER_MAX),
            "verification.acr: retry_after must be at most 30d, which is how long refusals are kept"
        );
        let known = Assurance::ALL.map(Assurance::acr).join(", ");
        let login = self.login.as_deref().map(|login| {
            Assurance::of_acr(login)
                .with_context(|| format!("verification.acr: login must be one of {known}"))
        });
        Ok(ProofRule {
            acr: self.value.clone(),
            workflow: self.workflow.clone(),
            max_age: self.max_age,
            current_version: self.current_version,
            current_screening: self.current_screening,
            retry_after: self.retry_after.unwrap_or(RETRY_AFTER),
            login: login.transpose()?.unwrap_or(Assurance::Single),
            passkey: self.passkey,
        })
    }
}
