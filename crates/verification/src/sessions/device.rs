//! With what somebody goes through a session: the key that their browser keeps, and what it says of itself.
//!
//! The key is made in the browser, which does not give it away (WebCrypto, not extractable), and proven with each
//! page. It tells two devices apart without measuring them, and is gone when its owner clears what this site keeps.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::Jwk;
use portcullis_types::{Id, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome, Reason, Report, Value, Values, Weight};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    BrowserFacts, Detail, ListKind, Open, SessionError, Sessions, browser,
    seen::{BROWSER, DEVICE},
    time_zones,
};

/// From so many on it is not one person with a phone and a desktop.
const MANY: usize = 4;
/// The longest name of a zone has 30.
const ZONE_MAX_BYTES: usize = 64;
/// What a signature is made over, before the challenge: it says nothing to anybody else.
const PURPOSE: &str = "portcullis-device-key\n";

/// What a script of ours read in a browser.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldDevice {
    /// `navigator.userAgent`.
    #[serde(default)]
    pub user_agent: String,
    /// `navigator.languages`.
    #[serde(default)]
    pub languages: Vec<String>,
    /// The zone of the IANA database by which its clock goes.
    #[serde(default)]
    pub time_zone: String,
    /// `navigator.webdriver`: whether a program says what it does.
    #[serde(default)]
    pub is_automated: bool,
    /// The key that it keeps, with what proves it.
    #[serde(default)]
    pub key: Option<ToldKey>,
}

/// A key of a browser.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldKey {
    /// EC, P-256.
    pub jwk: Jwk,
    /// ES256 over `portcullis-device-key`, a line feed and the challenge of the page, base64url.
    pub signature: String,
}

/// What is kept of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceFacts {
    browser: BrowserFacts,
    user_agent: String,
    languages: Vec<String>,
    time_zone: String,
    is_automated: bool,
    /// The thumbprint of its key (RFC 7638).
    key: Option<String>,
}

impl Sessions {
    /// What a browser signs to show that it has its key: of one session and one browser, whose own secret that is.
    pub fn device_challenge(&self, id: Id<tags::IdvSession>, secret: &str) -> String {
        let session = id.to_string();
        let digest = self.digest(&[b"device_challenge", session.as_bytes(), secret.as_bytes()]);
        BASE64URL_NOPAD.encode(&digest)
    }

    /// Remembers with what somebody goes through a session. `secret` is that of [`Sessions::device_challenge`].
    pub async fn met(
        &self,
        open: &Open,
        told: &ToldDevice,
        (browser, secret): (BrowserFacts, &str),
    ) -> Result<(), SessionError> {
        let challenge = self.device_challenge(open.row.id, secret);
        let key = told.key.as_ref().map(|key| proven(key, &challenge)).transpose()?;
        let device = DeviceFacts {
            browser,
            user_agent: browser::cut(&told.user_agent),
            languages: browser::languages(told.languages.iter().map(String::as_str)),
            time_zone: zone(&told.time_zone),
            is_automated: told.is_automated,
            key,
        };
        // One key is one device, whatever else it says; without one it is what it says.
        let whose = match &device.key {
            Some(key) => key.clone(),
            None => json!([device.browser.user_agent, device.time_zone]).to_string(),
        };
        self.keep_seen(open, &[(DEVICE, whose, json!(device))]).await
    }

    /// What was met in a session, the newest first.
    async fn devices_of(&self, open: &Open) -> Result<Vec<DeviceFacts>, SessionError> {
        self.seen_of(open, DEVICE).await
    }

    /// The keys of browsers with which somebody goes through a session.
    pub(super) async fn device_keys(&self, open: &Open) -> Result<BTreeSet<String>, SessionError> {
        Ok(self.devices_of(open).await?.into_iter().filter_map(|device| device.key).collect())
    }

    /// What is to be made of the devices of a session.
    pub(super) async fn look_at_devices(&self, open: &Open) -> Outcome {
        match self.seen_devices(open).await {
            Ok(Some(seen)) => {
                let id: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
                Outcome::Report(Box::new(report(id, &seen)))
            }
            Ok(None) => Outcome::Unsupported("no_browser".to_owned()),
            Err(error) => {
                let session = open.row.id.to_string();
                tracing::warn!(session, %error, "no device was looked at");
                Outcome::Unavailable("devices_unavailable".to_owned())
            }
        }
    }

    async fn seen_devices(&self, open: &Open) -> Result<Option<Seen>, SessionError> {
        let browsers: Vec<BrowserFacts> = self.seen_of(open, BROWSER).await?;
        let devices = self.devices_of(open).await?;
        if browsers.is_empty() && devices.is_empty() {
            return Ok(None);
        }
        let addresses = self.addresses_of(open).await?;
        let addresses: Vec<_> = addresses.into_iter().map(|(address, _)| address).collect();
        let (_, facts) = (self.addresses)(&addresses);
        let here = facts.into_iter().filter_map(|facts| facts.country);
        let here = here.filter_map(|code| ListKind::Country.normal(&code).ok()).collect();
        let documents = super::seen::countries_of_documents(open);
        Ok(Some(Seen { browsers, devices, here, documents }))
    }
}

/// The name of a zone, if it can be one.
fn zone(text: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    let fits = text.len() <= ZONE_MAX_BYTES && text.bytes().all(is_name);
    if fits { text.to_owned() } else { String::new() }
}

/// The thumbprint of a key that was proven.
fn proven(told: &ToldKey, challenge: &str) -> Result<String, SessionError> {
    let wrong = || SessionError::Invalid("key", "must be one that signed the challenge".into());
    let jwk = Some(&told.jwk).filter(|jwk| jwk.kty == "EC");
    let key = jwk.and_then(|jwk| jwk.verifying_key().ok()).ok_or_else(wrong)?;
    let signature = BASE64URL_NOPAD.decode(told.signature.as_bytes()).map_err(|_| wrong())?;
    if !key.verify(format!("{PURPOSE}{challenge}").as_bytes(), &signature) {
        return Err(wrong());
    }
    told.jwk.thumbprint().ok_or_else(wrong)
}

/// All that is known of the devices of a session.
struct Seen {
    browsers: Vec<BrowserFacts>,
    devices: Vec<DeviceFacts>,
    /// Where its addresses are.
    here: BTreeSet<String>,
    /// Whose documents they are.
    documents: BTreeSet<String>,
}

/// What does not fit together in what a browser says with its requests and to a script.
fn contradictions(device: &DeviceFacts) -> BTreeSet<&'static str> {
    let mut found = browser::contradictions(&device.browser);
    if !device.user_agent.is_empty() && device.user_agent != device.browser.user_agent {
        found.insert("other_user_agent");
    }
    let primary = |tags: &[String]| {
        let first = tags.first()?.split('-').next()?;
        Some(first.to_ascii_lowercase())
    };
    let (said, sent) = (primary(&device.languages), primary(&device.browser.languages));
    if said.is_some() && sent.is_some() && said != sent {
        found.insert("other_languages");
    }
    found
}

/// Whether none of these is one of those, where both are known.
fn differ(own: &BTreeSet<String>, others: &BTreeSet<String>) -> Option<bool> {
    (!own.is_empty() && !others.is_empty()).then(|| own.is_disjoint(others))
}

/// What of it counts.
struct Judged {
    keys: BTreeSet<String>,
    contradictions: BTreeSet<&'static str>,
    is_automated: bool,
    lacks_hints: bool,
    is_unlike_browsers: bool,
    ja4: BTreeSet<String>,
    zone_of_address: Option<bool>,
    zone_of_documents: Option<bool>,
    languages: Option<bool>,
}

impl Seen {
    fn every_browser(&self) -> impl Iterator<Item = &BrowserFacts> {
        self.browsers.iter().chain(self.devices.iter().map(|device| &device.browser))
    }

    fn judged(&self) -> Judged {
        let normal = |code: &str| ListKind::Country.normal(code).ok();
        let zones: Vec<BTreeSet<String>> = self
            .devices
            .iter()
            .map(|device| time_zones::countries(&device.time_zone).filter_map(normal).collect())
            .collect();
        // Each clock by itself: that one of two is right makes the other no better.
        let any = |others: &BTreeSet<String>| {
            let each = zones.iter().filter_map(|zone| differ(zone, others));
            each.reduce(|one, other| one || other)
        };
        let tags = self.every_browser().flat_map(|browser| &browser.languages);
        let tags = tags.chain(self.devices.iter().flat_map(|device| &device.languages));
        let tags: Vec<String> = tags.cloned().collect();
        let regions = browser::regions(&tags).iter().filter_map(|code| normal(code)).collect();
        let places: BTreeSet<String> = self.here.union(&self.documents).cloned().collect();
        let of_browsers = self.every_browser().flat_map(browser::contradictions);
        Judged {
            keys: self.devices.iter().filter_map(|device| device.key.clone()).collect(),
            contradictions: of_browsers
                .chain(self.devices.iter().flat_map(contradictions))
                .collect(),
            is_automated: self.devices.iter().any(|device| device.is_automated)
                || self.every_browser().any(browser::is_driven),
            lacks_hints: self.every_browser().any(browser::lacks_hints),
            is_unlike_browsers: self.every_browser().any(browser::speaks_unlike_browsers),
            ja4: self.every_browser().filter_map(|browser| browser.ja4.clone()).collect(),
            zone_of_address: any(&self.here),
            zone_of_documents: any(&self.documents),
            languages: differ(&regions, &places),
        }
    }
}

fn report(id: Id<tags::Check>, seen: &Seen) -> Report {
    let judged = seen.judged();
    let texts = |all: &BTreeSet<&'static str>| {
        Value::Texts(all.iter().map(|word| (*word).to_owned()).collect())
    };
    let keys = u32::try_from(judged.keys.len()).unwrap_or(u32::MAX);
    let mut values = Values::from([
        ("keys".to_owned(), Value::Number(f64::from(keys))),
        ("is_automated".to_owned(), Value::Flag(judged.is_automated)),
        ("contradicts".to_owned(), Value::Flag(!judged.contradictions.is_empty())),
        ("contradictions".to_owned(), texts(&judged.contradictions)),
        ("ja4".to_owned(), Value::Texts(judged.ja4.iter().cloned().collect())),
    ]);
    let newest = seen.devices.first().map(|device| device.time_zone.clone());
    if let Some(zone) = newest.filter(|zone| !zone.is_empty()) {
        values.insert("time_zone".to_owned(), Value::Text(zone));
    }
    // Only where both sides are known, so that no condition takes silence for no.
    for (name, flag) in [
        ("time_zone_differs", judged.zone_of_address),
        ("time_zone_of_others", judged.zone_of_documents),
        ("languages_differ", judged.languages),
        ("tls_differs", (!judged.ja4.is_empty()).then_some(judged.is_unlike_browsers)),
    ] {
        values.extend(flag.map(|flag| (name.to_owned(), Value::Flag(flag))));
    }
    let reason = |code: &str, severity| Reason { code: code.to_owned(), severity };
    let is = |flag: Option<bool>| flag == Some(true);
    let reasons = [
        judged.is_automated.then(|| reason("automated", Weight::Doubt)),
        (!judged.contradictions.is_empty()).then(|| reason("browser_contradicts", Weight::Doubt)),
        (judged.keys.len().max(seen.devices.len()) >= MANY)
            .then(|| reason("many_devices", Weight::Doubt)),
        judged.keys.is_empty().then(|| reason("no_device_key", Weight::Information)),
        is(judged.zone_of_address).then(|| reason("time_zone_differs", Weight::Information)),
        is(judged.zone_of_documents).then(|| reason("time_zone_of_others", Weight::Information)),
        is(judged.languages).then(|| reason("languages_differ", Weight::Information)),
        judged.is_unlike_browsers.then(|| reason("tls_unlike_browsers", Weight::Information)),
        judged.lacks_hints.then(|| reason("client_hints_missing", Weight::Information)),
    ];
    let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
    let is_doubtful = reasons.iter().any(|reason| reason.severity == Weight::Doubt);
    let status = if is_doubtful { CheckStatus::Review } else { CheckStatus::Passed };
    let view = json!({
        "id": id.to_string(),
        "check": "device",
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        "contradictions": judged.contradictions,
        "devices": seen.devices.iter().map(shown).collect::<Json>(),
        "browsers": seen.browsers.iter().map(|browser| json!(browser)).collect::<Json>(),
    });
    Report {
        id: id.to_string(),
        status,
        // Whatever a browser says, a program can say as well.
        assurance: Assurance::Heuristic,
        reasons,
        values,
        detail: json!(Detail { known: None, view }),
    }
}

fn shown(device: &DeviceFacts) -> Json {
    json!({
        "key": device.key,
        "time_zone": device.time_zone,
        "languages": device.languages,
        "is_automated": device.is_automated,
        "user_agent": device.user_agent,
        "browser": device.browser,
        "contradictions": contradictions(device),
    })
}
