//! With what somebody goes through a session: the key that their browser keeps, and what it says of itself.
//!
//! The key is made in the browser, which does not give it away (WebCrypto, not extractable), and proven in each
//! session. It tells two devices apart without measuring them, and is gone when its owner clears what this site keeps.
//!
//! Each telling that is unlike all others is kept, and none makes room for another one: what contradicts itself is not
//! made good by what is said afterwards, nor hidden behind much of it.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::Jwk;
use portcullis_store::idv::seen;
use portcullis_types::{Id, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome, Reason, Report, Value, Values, Weight};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    BrowserFacts, Detail, ListKind, Open, SessionError, Sessions, browser, seen::Room, time_zones,
};

/// Tellings of one session that are kept. A browser has about four: its head, that with what a script reads, and both
/// again when TLS takes up an earlier connection.
const TELLINGS_MAX: i64 = 32;
/// From so many different browsers on it is not one person with a telephone and a desktop.
const BROWSERS_MANY: usize = 4;
/// From so many keys on: each private window makes one.
const KEYS_MANY: usize = 8;
const DEVICE: &str = "device";
/// What is found in tellings after so many: of each kind of findings one, so that nobody talks until nobody listens.
const LATE: &str = "late";
const LATE_MAX: i64 = 64;
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

/// What a browser said once: with a request, and to a script if one was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Telling {
    pub browser: BrowserFacts,
    pub script: Option<ScriptFacts>,
}

/// What a script read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScriptFacts {
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
        let script = ScriptFacts {
            user_agent: browser::cut(&told.user_agent),
            languages: browser::languages(told.languages.iter().map(String::as_str)),
            time_zone: zone(&told.time_zone),
            is_automated: told.is_automated,
            key,
        };
        self.keep_telling(open, &Telling { browser, script: Some(script) }).await
    }

    /// Keeps what was said, unless it was said before or too much was.
    pub(super) async fn keep_telling(
        &self,
        open: &Open,
        telling: &Telling,
    ) -> Result<(), SessionError> {
        let (session, text) = (open.row.id.to_string(), json!(telling).to_string());
        let digest = self.hex_digest(&[b"told", session.as_bytes(), text.as_bytes()]);
        let rows = seen::of_session(&self.db, &self.tenant, open.row.id).await?;
        let has = |digest: &str| rows.iter().any(|row| row.digest == digest);
        let is_full = |kind: &str, most: i64| {
            let count = rows.iter().filter(|row| row.kind == kind).count();
            i64::try_from(count).unwrap_or(i64::MAX) >= most
        };
        if has(&digest) {
            return Ok(());
        }
        // Others may be faster: then it is one that comes too late.
        if !is_full(DEVICE, TELLINGS_MAX)
            && self.keep_seen(open, (DEVICE, digest, &text), Room::Left(TELLINGS_MAX)).await?
        {
            return Ok(());
        }
        let found = Findings::of(telling);
        if found.is_nothing() {
            return Ok(());
        }
        // By what is found in it, and nothing else of it.
        let found = json!(found).to_string();
        let digest = self.hex_digest(&[b"late", session.as_bytes(), found.as_bytes()]);
        if has(&digest) || is_full(LATE, LATE_MAX) {
            return Ok(());
        }
        self.keep_seen(open, (LATE, digest, &text), Room::Left(LATE_MAX)).await.map(drop)
    }

    /// The keys of browsers with which somebody goes through a session, the newest first.
    pub(super) async fn device_keys(&self, open: &Open) -> Result<Vec<String>, SessionError> {
        let tellings: Vec<Telling> = self.seen_of(open, DEVICE).await?;
        let keys = tellings.into_iter().filter_map(|told| told.script?.key);
        let mut known = BTreeSet::new();
        Ok(keys.filter(|key| known.insert(key.clone())).collect())
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

    async fn seen_devices(&self, open: &Open) -> Result<Option<Judging>, SessionError> {
        let mut tellings: Vec<Telling> = self.seen_of(open, DEVICE).await?;
        if tellings.is_empty() {
            return Ok(None);
        }
        let is_full = i64::try_from(tellings.len()).unwrap_or(i64::MAX) >= TELLINGS_MAX;
        tellings.extend(self.seen_of::<Telling>(open, LATE).await?);
        let addresses = self.addresses_of(open).await?;
        let addresses: Vec<_> = addresses.into_iter().map(|(address, _)| address).collect();
        let (_, facts) = (self.addresses)(&addresses);
        let here = facts.into_iter().filter_map(|facts| facts.country);
        let here = here.filter_map(|code| ListKind::Country.normal(&code).ok());
        // Of a code that is no country's, or of one without a zone, nobody knows the time.
        let timed = |codes: BTreeSet<String>| -> BTreeSet<String> {
            codes.into_iter().filter(|code| time_zones::has(code)).collect()
        };
        let documents = timed(super::seen::countries_of_documents(open));
        Ok(Some(Judging { is_full, tellings, here: timed(here.collect()), documents }))
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
struct Judging {
    /// The newest first, and what was found in those that came too late.
    tellings: Vec<Telling>,
    /// Whether some may have come too late.
    is_full: bool,
    /// Where its addresses are.
    here: BTreeSet<String>,
    /// Whose documents they are.
    documents: BTreeSet<String>,
}

/// What does not fit together in what a browser says with its requests and to a script.
fn contradictions(telling: &Telling) -> BTreeSet<&'static str> {
    let mut found = telling.browser.contradictions();
    let Some(script) = &telling.script else { return found };
    if !browser::same_agent(&telling.browser.user_agent, &script.user_agent) {
        found.insert("other_user_agent");
    }
    let primary = |tags: &[String]| {
        let first = tags.first()?.split('-').next()?;
        Some(first.to_ascii_lowercase())
    };
    let (said, sent) = (primary(&script.languages), primary(&telling.browser.languages));
    if said.is_some() && sent.is_some() && said != sent {
        found.insert("other_languages");
    }
    found
}

/// What is found in one telling by itself.
#[derive(Serialize)]
struct Findings {
    contradictions: BTreeSet<&'static str>,
    is_automated: bool,
    is_unlike_browsers: bool,
    lacks_hints: bool,
}

impl Findings {
    fn of(telling: &Telling) -> Self {
        Self {
            contradictions: contradictions(telling),
            is_automated: telling.browser.is_driven()
                || telling.script.as_ref().is_some_and(|script| script.is_automated),
            is_unlike_browsers: browser::speaks_unlike_browsers(&telling.browser),
            lacks_hints: telling.browser.lacks_hints(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.contradictions.is_empty()
            && !(self.is_automated || self.is_unlike_browsers || self.lacks_hints)
    }
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
    tls_differs: Option<bool>,
    is_many: bool,
    zone_of_address: Option<bool>,
    zone_of_documents: Option<bool>,
    languages: Option<bool>,
}

impl Judging {
    fn browsers(&self) -> impl Iterator<Item = &BrowserFacts> {
        self.tellings.iter().map(|telling| &telling.browser)
    }

    fn scripts(&self) -> impl Iterator<Item = &ScriptFacts> {
        self.tellings.iter().filter_map(|telling| telling.script.as_ref())
    }

    fn ja4(&self) -> BTreeSet<String> {
        self.browsers().filter_map(|browser| browser.ja4.clone()).collect()
    }

    /// Whether some TLS is none of browsers, or one browser speaks it in two ways.
    fn tls_differs(&self) -> bool {
        let mut by_agent: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for browser in self.browsers() {
            // Taking up an earlier connection changes what is offered besides, and not the ciphers.
            let ciphers = browser.ja4.as_deref().and_then(|ja4| ja4.split('_').nth(1));
            by_agent.entry(&browser.user_agent).or_default().extend(ciphers);
        }
        self.browsers().any(browser::speaks_unlike_browsers)
            || by_agent.values().any(|ciphers| ciphers.len() > 1)
    }

    fn judged(&self) -> Judged {
        let normal = |code: &str| ListKind::Country.normal(code).ok();
        // A browser that hides where it is tells of a zone that is nobody's.
        let zones = self.tellings.iter().filter_map(|telling| {
            let zone = &telling.script.as_ref()?.time_zone;
            (!browser::hides(&telling.browser, zone)).then_some(zone)
        });
        let zones: Vec<BTreeSet<String>> =
            zones.map(|zone| time_zones::countries(zone).filter_map(normal).collect()).collect();
        // Each clock by itself: that one of two is right makes the other no better.
        let any = |others: &BTreeSet<String>| {
            let each = zones.iter().filter_map(|zone| differ(zone, others));
            each.reduce(|one, other| one || other)
        };
        let places: BTreeSet<String> = self.here.union(&self.documents).cloned().collect();
        // Each telling by itself as well.
        let languages = self.tellings.iter().filter_map(|telling| {
            let more = telling.script.iter().flat_map(|script| &script.languages);
            let tags: Vec<String> = telling.browser.languages.iter().chain(more).cloned().collect();
            let own = browser::regions(&tags).iter().filter_map(|code| normal(code)).collect();
            differ(&own, &places)
        });
        let languages = languages.reduce(|one, other| one || other);
        let keys: BTreeSet<String> = self.scripts().filter_map(|one| one.key.clone()).collect();
        let agents: BTreeSet<&str> = self.browsers().map(|one| &one.user_agent[..]).collect();
        let findings = || self.tellings.iter().map(Findings::of);
        let is_told = self.browsers().any(|browser| browser.ja4.is_some());
        Judged {
            is_many: keys.len() >= KEYS_MANY || agents.len() >= BROWSERS_MANY || self.is_full,
            keys,
            contradictions: findings().flat_map(|found| found.contradictions).collect(),
            is_automated: findings().any(|found| found.is_automated),
            lacks_hints: findings().any(|found| found.lacks_hints),
            tls_differs: is_told.then(|| self.tls_differs()),
            zone_of_address: any(&self.here),
            zone_of_documents: any(&self.documents),
            languages,
        }
    }
}

fn report(id: Id<tags::Check>, seen: &Judging) -> Report {
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
        ("ja4".to_owned(), Value::Texts(seen.ja4().into_iter().collect())),
    ]);
    let zones: BTreeSet<String> = seen.scripts().map(|script| script.time_zone.clone()).collect();
    let zones = zones.into_iter().filter(|zone| !zone.is_empty()).collect();
    values.insert("time_zones".to_owned(), Value::Texts(zones));
    values.insert("is_many".to_owned(), Value::Flag(judged.is_many));
    // Only where both sides are known, so that no condition takes silence for no.
    for (name, flag) in [
        ("time_zone_differs", judged.zone_of_address),
        ("time_zone_of_others", judged.zone_of_documents),
        ("languages_differ", judged.languages),
        ("tls_differs", judged.tls_differs),
    ] {
        values.extend(flag.map(|flag| (name.to_owned(), Value::Flag(flag))));
    }
    let reason = |code: &str, severity| Reason { code: code.to_owned(), severity };
    let is = |flag: Option<bool>| flag == Some(true);
    let reasons = [
        judged.is_automated.then(|| reason("automated", Weight::Doubt)),
        (!judged.contradictions.is_empty()).then(|| reason("browser_contradicts", Weight::Doubt)),
        judged.is_many.then(|| reason("many_devices", Weight::Doubt)),
        judged.keys.is_empty().then(|| reason("no_device_key", Weight::Information)),
        is(judged.zone_of_address).then(|| reason("time_zone_differs", Weight::Information)),
        is(judged.zone_of_documents).then(|| reason("time_zone_of_others", Weight::Information)),
        is(judged.languages).then(|| reason("languages_differ", Weight::Information)),
        is(judged.tls_differs).then(|| reason("tls_differs", Weight::Information)),
        judged.lacks_hints.then(|| reason("client_hints_missing", Weight::Information)),
    ];
    let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
    let is_doubtful = reasons.iter().any(|reason| reason.severity == Weight::Doubt);
    let status = if is_doubtful { CheckStatus::Review } else { CheckStatus::Passed };
    let shown = seen.tellings.iter().map(|telling| {
        json!({
            "browser": telling.browser,
            "script": telling.script,
            "contradictions": contradictions(telling),
        })
    });
    let view = json!({
        "id": id.to_string(),
        "check": DEVICE,
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        "contradictions": judged.contradictions,
        "tellings": shown.collect::<Json>(),
    });
    Report {
        id: id.to_string(),
        status,
        // Whatever a browser says, a program can say as well.
        assurance: Assurance::Heuristic,
        reasons,
        values,
        detail: json!(Detail { view, ..Detail::default() }),
    }
}
