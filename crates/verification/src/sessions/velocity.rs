//! What a session has in common with others: how often somebody comes, and who else is known by the same document,
//! address or number.
//!
//! Sessions that have the check leave keyed digests of what they know somebody by, and see those of others. Nobody
//! learns from a digest what it is of; it goes with its session, and after three months.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use portcullis_store::idv::signals::{self, SharedRow};
use portcullis_types::{ClientAddr, Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome, Reason, Report, Value, Values, Weight};
use serde_json::{Value as Json, json};

use super::{
    Detail, ListKind, Open, SessionError, Sessions,
    lists::{has_number, known},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Other sessions that are looked at for each thing; more of them are no more of a reason.
const SHARED_MAX: i64 = 200;
/// Things by which somebody is known that are looked at: what is one's own first, so that nobody hides it behind many
/// others.
const KNOWN_MAX: usize = 48;
/// Lines among them.
const LINES_MAX: usize = 16;
/// Keys of browsers among them.
const KEYS_MAX: usize = 8;

/// What two people do not have both. Households share addresses of lines, and everybody a country.
const ONES_OWN: [ListKind; 6] = [
    ListKind::Document,
    ListKind::Phone,
    ListKind::Email,
    ListKind::DeviceFingerprint,
    ListKind::WalletAddress,
    ListKind::BankAccount,
];

/// By what sessions are compared: a kind of what is known of people, or the key of a browser, which a household or a
/// branch may share.
type Thing = Option<ListKind>;

fn name(thing: Thing) -> &'static str {
    thing.map_or("device_key", ListKind::as_str)
}

/// What sessions have in common in one thing.
#[derive(Debug, Default)]
struct Common {
    day: u32,
    month: u32,
    people: BTreeSet<String>,
    declined: u32,
}

impl Common {
    fn of(rows: &BTreeMap<String, SharedRow>, open: &Open, now: Timestamp) -> Self {
        let mut common = Self::default();
        for row in rows.values() {
            common.day += u32::from(row.seen_at > now.minus(DAY));
            common.month += 1;
            common.declined += u32::from(row.status == "declined");
            common.people.extend(other_person(row, open));
        }
        common
    }
}

/// Whom another session is about, if that is somebody else as far as anybody can tell.
fn other_person(row: &SharedRow, open: &Open) -> Option<String> {
    let own = &open.row;
    let same_account = row.account_id.is_some() && row.account_id == own.account_id;
    let same_name = !row.reference.is_empty() && row.reference == own.reference;
    if same_account || same_name {
        return None;
    }
    // Where nobody says who it is, it may be the same person once more.
    match (&row.account_id, &row.reference[..]) {
        (Some(account), _) if own.account_id.is_some() => Some(account.clone()),
        (_, reference) if !reference.is_empty() && !own.reference.is_empty() => {
            Some(reference.to_owned())
        }
        _ => None,
    }
}

impl Sessions {
    /// What the session has in common with others.
    pub(super) async fn compare_with_others(&self, open: &Open) -> Outcome {
        match self.in_common(open).await {
            Ok((common, _)) if common.is_empty() && !has_number(open) => {
                Outcome::Unsupported("nothing_known".to_owned())
            }
            Ok((common, is_cut)) => {
                let id: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
                let lacks = has_number(open) && !common.contains_key(&Some(ListKind::Document));
                Outcome::Report(Box::new(report(id, &common, (lacks, is_cut))))
            }
            Err(error) => {
                let session = open.row.id.to_string();
                tracing::warn!(session, %error, "a session was not compared with others");
                Outcome::Unavailable("sessions_unavailable".to_owned())
            }
        }
    }

    async fn in_common(
        &self,
        open: &Open,
    ) -> Result<(BTreeMap<Thing, Common>, bool), SessionError> {
        let (id, now) = (open.row.id, self.now());
        // Those that were seen last, and the one that was seen longest ago.
        let (lines, more_lines) = ends(
            self.addresses_of(open)
                .await?
                .into_iter()
                .map(|(address, _)| ClientAddr::new(address).key().to_string()),
            LINES_MAX,
        );
        // Anybody can say what is somebody else's: for others counts what the caller says and checks that passed.
        let of = |only_trusted| {
            let mut known = known(open, only_trusted);
            known.retain(|kind, _| {
                use ListKind::{Business, Country, IpAddress, User};
                !matches!(kind, Country | User | Business | IpAddress)
            });
            known
        };
        let (all, proven) = (of(false), of(true));
        let (own, others): (Vec<_>, Vec<_>) = all
            .iter()
            .flat_map(|(kind, values)| values.iter().map(move |one| (*kind, one)))
            .partition(|(kind, _)| ONES_OWN.contains(kind));
        let said = |(kind, value): (ListKind, &String)| {
            let is_proven = proven.get(&kind).is_some_and(|values| values.contains(value));
            (Some(kind), value.clone(), is_proven)
        };
        // Nobody has the key of somebody else's browser, and nobody the line of somebody else.
        let (keys, more_keys) = ends(self.device_keys(open).await?.into_iter(), KEYS_MAX);
        let digests: Vec<(Thing, String, bool)> = keys
            .into_iter()
            .map(|key| (None, key, true))
            .chain(own.into_iter().map(said))
            .chain(lines.into_iter().map(|line| (Some(ListKind::IpAddress), line, true)))
            .chain(others.into_iter().map(said))
            .take(KNOWN_MAX)
            .map(|(thing, value, is_proven)| {
                let pieces = [b"signal", name(thing).as_bytes(), value.as_bytes()];
                (thing, self.hex_digest(&pieces), is_proven)
            })
            .collect();
        let signals = &digests;
        // Of two that come at once each sees the other, since both are written before they are read.
        let written = self.db.write(|tx| async move {
            // Whoever erases it does so for good.
            self.open(&tx, id).await?;
            for (_, digest, is_proven) in signals {
                signals::add(&tx, &self.tenant, digest, id, (now, *is_proven)).await?;
            }
            Ok::<_, SessionError>(())
        });
        written.await?;
        let mut by_thing: BTreeMap<Thing, BTreeMap<String, SharedRow>> = BTreeMap::new();
        let terms = (now.minus(MONTH), SHARED_MAX);
        for (thing, digest, _) in &digests {
            let shared = signals::shared(&self.db, &self.tenant, digest, id, terms).await?;
            let all = by_thing.entry(*thing).or_default();
            all.extend(shared.into_iter().map(|row| (row.session_id.clone(), row)));
        }
        let each = by_thing.into_iter();
        let common = each.map(|(thing, rows)| (thing, Common::of(&rows, open, now))).collect();
        Ok((common, more_lines || more_keys))
    }
}

/// The first `most - 1` and the last of them, each once, and whether there are others.
fn ends(all: impl Iterator<Item = String>, most: usize) -> (Vec<String>, bool) {
    let mut known = BTreeSet::new();
    let mut all: Vec<String> = all.filter(|one| known.insert(one.clone())).collect();
    let is_cut = all.len() > most;
    if is_cut {
        let last = all.pop();
        all.truncate(most - 1);
        all.extend(last);
    }
    (all, is_cut)
}

fn report(
    id: Id<tags::Check>,
    common: &BTreeMap<Thing, Common>,
    (lacks_document, is_cut): (bool, bool),
) -> Report {
    let most = |count: fn(&Common) -> u32| {
        Value::Number(f64::from(common.values().map(count).max().unwrap_or(0)))
    };
    let own = common.iter().filter_map(|(thing, common)| Some(((*thing)?, common)));
    let own = own.filter(|(kind, _)| ONES_OWN.contains(kind));
    let shared: Vec<_> = own.filter(|(_, common)| !common.people.is_empty()).collect();
    let people: BTreeSet<&String> = shared.iter().flat_map(|(_, common)| &common.people).collect();
    let kinds = shared.iter().map(|(kind, _)| kind.as_str().to_owned()).collect();
    let by_device = common.get(&None).map_or(0, |common| common.people.len());
    let count = |count: usize| Value::Number(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    let values = Values::from([
        ("sessions_day".to_owned(), most(|common| common.day)),
        ("sessions_month".to_owned(), most(|common| common.month)),
        ("declined".to_owned(), most(|common| common.declined)),
        ("people".to_owned(), count(people.len())),
        ("shared".to_owned(), Value::Texts(kinds)),
        ("people_by_device".to_owned(), count(by_device)),
    ]);
    let reason = |code: &str, severity| Reason { code: code.to_owned(), severity };
    let reasons = [
        (!people.is_empty()).then(|| reason("shared_with_others", Weight::Doubt)),
        // Of a number without its issuer nobody knows which one it is.
        lacks_document.then(|| reason("document_not_compared", Weight::Doubt)),
        is_cut.then(|| reason("not_all_compared", Weight::Doubt)),
        // A family has one computer, and a branch one for everybody.
        (by_device > 0).then(|| reason("device_shared", Weight::Information)),
    ];
    let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
    let is_doubtful = reasons.iter().any(|reason| reason.severity == Weight::Doubt);
    let status = if is_doubtful { CheckStatus::Review } else { CheckStatus::Passed };
    let each = common.iter().map(|(thing, common)| {
        json!({
            "kind": name(*thing),
            "sessions_day": common.day,
            "sessions_month": common.month,
            "declined": common.declined,
            "people": common.people.len(),
        })
    });
    let view = json!({
        "id": id.to_string(),
        "check": "velocity",
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        "common": each.collect::<Json>(),
    });
    Report {
        id: id.to_string(),
        status,
        assurance: Assurance::Heuristic,
        reasons,
        values,
        detail: json!(Detail { view, ..Detail::default() }),
    }
}
