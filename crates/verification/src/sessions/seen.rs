//! From where and with what somebody goes through a session, and what is known of these addresses.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use portcullis_store::idv::seen::{self, SeenRow};
use portcullis_types::{ClientAddr, Id, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome, Reason, Report, Value, Values, Weight};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::{
    BrowserFacts, Detail, ListKind, Open, SessionError, Sessions, alone::static_reason,
    device::Telling,
};

/// Places from which one session is gone through that are kept: the first, and those that were seen last.
const ADDRESSES_MAX: i64 = 64;
/// From so many on somebody hides, or lends out their link.
const MANY: usize = 8;
/// That an address was seen again is kept this often.
const AGAIN: Duration = Duration::from_secs(60);

/// What is known of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressFacts {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Whether it is an exit of Tor; nothing where no source tells that.
    pub is_tor: Option<bool>,
    /// Whether it is in a data centre.
    pub is_hosting: Option<bool>,
    /// Whether it is a proxy or a VPN.
    pub is_proxy: Option<bool>,
}

/// Maps and lists of addresses, as they are at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressSources {
    /// What each is for, and when it was built, in seconds since 1970.
    pub built: Vec<(String, u64)>,
}

/// Looks addresses up: with what, and what is known of each.
pub type Addresses = Arc<dyn Fn(&[IpAddr]) -> (AddressSources, Vec<AddressFacts>) + Send + Sync>;

const ADDRESS: &str = "address";

/// How many of a kind there may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Room {
    /// One that was seen long ago makes room for a new one.
    Made(i64),
    /// What comes when there are so many is not kept.
    Left(i64),
}

/// What is kept of a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    address: IpAddr,
}

/// What rows of a kind are sealed for.
pub(super) fn purpose(id: Id<tags::IdvSession>, kind: &str) -> String {
    Open::purpose(id, &format!("seen.{kind}"))
}

impl Sessions {
    /// Remembers from where somebody goes through a session, and with which browser, where the workflow looks at it.
    pub async fn saw(
        &self,
        open: &Open,
        addr: ClientAddr,
        browser: &BrowserFacts,
    ) -> Result<(), SessionError> {
        self.saw_address(open, addr).await?;
        if open.plan.looks_at_devices() {
            let telling = Telling { browser: browser.clone(), script: None };
            self.keep_telling(open, &telling).await?;
        }
        Ok(())
    }

    /// What was seen before is looked up and not written.
    async fn saw_address(&self, open: &Open, addr: ClientAddr) -> Result<(), SessionError> {
        let (id, now) = (open.row.id, self.now());
        let session = id.to_string();
        // One line is one place, whatever its end is.
        let line = addr.key().to_string();
        let digest = self.hex_digest(&[b"seen", session.as_bytes(), line.as_bytes()]);
        let before = seen::by_digest(&self.db, &self.tenant, id, &digest).await?;
        if before.is_some_and(|before| now.since(before.last_seen_at) < AGAIN) {
            return Ok(());
        }
        let text = json!(Seen { address: addr.ip() }).to_string();
        self.keep_seen(open, (ADDRESS, digest, &text), Room::Made(ADDRESSES_MAX)).await.map(drop)
    }

    /// Keeps what was seen: of which kind, by which digest, and all of it. `false` if there is no room for it.
    pub(super) async fn keep_seen(
        &self,
        open: &Open,
        (kind, digest, text): (&str, String, &str),
        room: Room,
    ) -> Result<bool, SessionError> {
        let (id, now) = (open.row.id, self.now());
        let sealed = open.key.seal(&purpose(id, kind), text.as_bytes(), &*self.entropy)?;
        let kind = kind.to_owned();
        let row = &SeenRow { kind, digest, sealed, seen_at: now, last_seen_at: now };
        self.db
            .write(|tx| async move {
                // Whoever erases it does so for good.
                let open = self.open(&tx, id).await?;
                if open.state.status.is_final() {
                    return Ok(true);
                }
                Ok(match room {
                    Room::Made(most) => {
                        seen::put(&tx, &self.tenant, id, row, most).await?;
                        true
                    }
                    Room::Left(most) => seen::add(&tx, &self.tenant, id, row, most).await?,
                })
            })
            .await
    }

    /// What was seen of a kind, the newest first. A row that does not open is not passed over: somebody changed it.
    pub(super) async fn seen_of<T: DeserializeOwned>(
        &self,
        open: &Open,
        kind: &str,
    ) -> Result<Vec<T>, SessionError> {
        let rows = seen::of_session(&self.db, &self.tenant, open.row.id).await?;
        let read = |row: &SeenRow| {
            let text = open.key.open(&purpose(open.row.id, kind), &row.sealed)?;
            serde_json::from_slice(&text).map_err(|_| SessionError::Sealed)
        };
        rows.iter().filter(|row| row.kind == kind).map(read).collect()
    }

    /// The addresses from which somebody goes through a session: those on our page, the newest first, and then those
    /// that whoever began it says.
    pub(super) async fn addresses_of(
        &self,
        open: &Open,
    ) -> Result<Vec<(IpAddr, &'static str)>, SessionError> {
        let seen: Vec<Seen> = self.seen_of(open, ADDRESS).await?;
        let ours = seen.into_iter().map(|seen| (seen.address, "page"));
        let said = open.start.identifiers.get(&ListKind::IpAddress).into_iter().flatten();
        let said = said.filter_map(|text| Some((one_place(text)?, "caller")));
        let mut known = BTreeSet::new();
        let all = ours.chain(said).filter(|(address, _)| known.insert(*address));
        Ok(all.collect())
    }

    /// What is known of where somebody is.
    pub(super) async fn locate(&self, open: &Open) -> Outcome {
        let addresses = match self.addresses_of(open).await {
            Ok(addresses) => addresses,
            Err(error) => {
                let session = open.row.id.to_string();
                tracing::warn!(session, %error, "no address was looked up");
                return Outcome::Unavailable("addresses_unavailable".to_owned());
            }
        };
        if addresses.is_empty() {
            return Outcome::Unsupported("no_address".to_owned());
        }
        let asked: Vec<IpAddr> = addresses.iter().map(|(address, _)| *address).collect();
        let (sources, facts) = (self.addresses)(&asked);
        if sources.built.is_empty() {
            return Outcome::Unsupported("no_maps".to_owned());
        }
        let id: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
        let found: Vec<_> = addresses.into_iter().zip(facts).collect();
        Outcome::Report(Box::new(report(id, &sources, &found, &countries_of_documents(open))))
    }
}

/// An address, or the network of one line (IPv6: a /64); a larger network is nowhere.
fn one_place(text: &str) -> Option<IpAddr> {
    match text.split_once('/') {
        None => text.parse().ok(),
        Some((address, length)) => {
            let address: IpAddr = address.parse().ok()?;
            let length: u8 = length.parse().ok()?;
            (address.is_ipv6() && length >= 64).then_some(address)
        }
    }
}

/// The countries of the person, by documents that passed and by who they should be.
pub(super) fn countries_of_documents(open: &Open) -> BTreeSet<String> {
    let passed = open.state.done.iter().filter(|(_, done)| done.status == CheckStatus::Passed);
    let told = passed.filter_map(|(node, _)| open.known_by(node));
    let all = told.chain([open.start.expected.clone()]);
    let codes = all.flat_map(|known| {
        let own = [known.nationality, known.issuing_state].into_iter().flatten();
        own.chain(known.other_nationalities)
    });
    codes.filter_map(|code| ListKind::Country.normal(&code).ok()).collect()
}

pub(super) type Found = ((IpAddr, &'static str), AddressFacts);

/// Why an address is doubtful, or to be told of.
const WORDS: [&str; 5] = [
    "address_hidden",
    "address_of_data_centre",
    "country_differs",
    "many_addresses",
    "several_countries",
];

/// A reason as it stands in the code.
pub(super) fn word(reason: &Reason) -> Option<(&'static str, Weight)> {
    static_reason(&WORDS, reason)
}

pub(super) fn report(
    id: Id<tags::Check>,
    sources: &AddressSources,
    found: &[Found],
    documents: &BTreeSet<String>,
) -> Report {
    let countries: BTreeSet<String> =
        found.iter().filter_map(|(_, facts)| facts.country.clone()).collect();
    let newest = found.first().map(|(_, facts)| facts.clone()).unwrap_or_default();
    let mut values = Values::from([
        ("countries".to_owned(), Value::Texts(countries.iter().cloned().collect())),
        ("addresses".to_owned(), Value::Number(f64::from(u32::try_from(found.len()).unwrap_or(0)))),
    ]);
    if let Some(country) = newest.country {
        values.insert("country".to_owned(), Value::Text(country));
    }
    if let Some(asn) = newest.asn {
        values.insert("asn".to_owned(), Value::Number(f64::from(asn)));
    }
    // Where no source tells it, nobody knows that it is none.
    let told = |flag: fn(&AddressFacts) -> Option<bool>| {
        let all: Vec<Option<bool>> = found.iter().map(|(_, facts)| flag(facts)).collect();
        if all.contains(&Some(true)) {
            Some(true)
        } else {
            all.iter().all(Option::is_some).then_some(false)
        }
    };
    let flags = [
        ("is_tor", told(|facts| facts.is_tor)),
        ("is_hosting", told(|facts| facts.is_hosting)),
        ("is_proxy", told(|facts| facts.is_proxy)),
    ];
    for (name, flag) in flags {
        values.extend(flag.map(|flag| (name.to_owned(), Value::Flag(flag))));
    }
    let is = |name: &str| flags.contains(&(name, Some(true)));
    let differs = !countries.is_empty()
        && !documents.is_empty()
        && countries.iter().any(|country| {
            let country = ListKind::Country.normal(country).unwrap_or_else(|_| country.clone());
            !documents.contains(&country)
        });
    if !countries.is_empty() && !documents.is_empty() {
        values.insert("country_differs".to_owned(), Value::Flag(differs));
    }
    let reason = |code: &str, severity| Reason { code: code.to_owned(), severity };
    let reasons = [
        (is("is_tor") || is("is_proxy")).then(|| reason("address_hidden", Weight::Doubt)),
        is("is_hosting").then(|| reason("address_of_data_centre", Weight::Doubt)),
        differs.then(|| reason("country_differs", Weight::Information)),
        (found.len() >= MANY).then(|| reason("many_addresses", Weight::Doubt)),
        (countries.len() > 1).then(|| reason("several_countries", Weight::Information)),
    ];
    let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
    let is_doubtful = reasons.iter().any(|reason| reason.severity == Weight::Doubt);
    let status = if is_doubtful { CheckStatus::Review } else { CheckStatus::Passed };
    let each = found.iter().map(|((address, by), facts)| {
        json!({
            "address": address.to_string(),
            "seen_by": by,
            "country": facts.country,
            "asn": facts.asn,
            "is_tor": facts.is_tor,
            "is_hosting": facts.is_hosting,
            "is_proxy": facts.is_proxy,
        })
    });
    let built = sources.built.iter().map(|(name, at)| json!({ "source": name, "built": at }));
    let view = json!({
        "id": id.to_string(),
        "check": "ip",
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        "addresses": each.collect::<Json>(),
        "sources": built.collect::<Json>(),
    });
    Report {
        id: id.to_string(),
        status,
        // Where a line is says little of where somebody is.
        assurance: Assurance::Heuristic,
        reasons,
        values,
        detail: json!(Detail { view, ..Detail::default() }),
    }
}
