//! Credentials for a step of a session: somebody who was verified elsewhere says so.

use std::collections::BTreeSet;

use portcullis_credentials::{
    FORMAT,
    dcql::{ClaimQuery, CredentialQuery, Meta, Query, Step},
};
use portcullis_documents::{
    same_words, three_letters, two_letters,
    zone::{Day, Expected},
};
use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::idv::presentations::{self, PresentationRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus, Reason, Report, Value, Values, Weight};
use serde_json::{Map, Value as Json, json};

use super::{
    PresentationError, PresentationStatus, PresentationView, Presentations, TRIES_MAX, TTL,
    answer::{Answered, Shown},
};
use crate::{Known, SessionError, sessions::Detail};

/// The check, as the catalogue calls it.
const CHECK: &str = "credential";
/// The one credential query of a step.
const QUERY: &str = "person";
/// Requests of one session.
const REQUESTS_MAX: i64 = 20;

impl Presentations {
    /// What is asked for in a step: who somebody is, and where that is known, of which nationality and by which
    /// rules.
    fn step_query(&self) -> Query {
        let claim = |id: &str, path: &[&str], last: Option<Step>| ClaimQuery {
            id: Some(id.to_owned()),
            path: path.iter().map(|name| Step::Member((*name).to_owned())).chain(last).collect(),
            values: Vec::new(),
        };
        let own = self.own.iter().map(|own| own.vct.clone());
        let types: BTreeSet<String> =
            self.trusted.iter().flat_map(|trusted| trusted.types.clone()).chain(own).collect();
        let least = ["given", "family", "born"];
        let with =
            |more: &[&str]| least.iter().chain(more).map(|id| (*id).to_owned()).collect::<Vec<_>>();
        Query {
            credentials: vec![CredentialQuery {
                id: QUERY.to_owned(),
                format: FORMAT.to_owned(),
                meta: Meta { vct_values: types.into_iter().collect() },
                multiple: false,
                claims: vec![
                    claim("given", &["given_name"], None),
                    claim("family", &["family_name"], None),
                    claim("born", &["birthdate"], None),
                    claim("nations", &["nationalities"], Some(Step::All(()))),
                    claim("rules", &["verification", "trust_framework"], None),
                    claim("level", &["verification", "assurance_level"], None),
                ],
                claim_sets: vec![
                    with(&["nations", "rules", "level"]),
                    with(&["nations", "rules"]),
                    with(&["nations"]),
                    with(&[]),
                ],
            }],
            credential_sets: Vec::new(),
        }
    }

    /// A request for a step that waits for a credential, new if there is none that can be answered for a while.
    pub async fn ask_for_step(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
        (by, origin): (&Actor, &Origin),
    ) -> Result<PresentationView, PresentationError> {
        let query = self.step_query();
        if !self.is_on() || query.problem().is_some() {
            return Err(PresentationError::NoIssuers);
        }
        if let Some(open) = self.request_of_step(id, serial).await? {
            return Ok(open);
        }
        let row = self.request(&query, TTL, (Some(id), serial))?;
        let row = &row;
        let made = self.db.write(|tx| async move {
            let open = self.sessions.waits_for(&tx, id, serial, CHECK).await?;
            if presentations::count_of_session(&tx, &self.tenant, id).await? >= REQUESTS_MAX {
                let must = "was asked for a credential often enough".to_owned();
                return Err(SessionError::Invalid("node", must).into());
            }
            presentations::insert(&tx, &self.tenant, row).await?;
            let node = open.steps().find(|step| step.serial == serial);
            let node = node.map(|step| step.node.to_owned());
            let told =
                Verification { change: "credential_asked", node, ..self.sessions.about(&open) };
            let event = self.sessions.event(by, Some(origin), Kind::Verification(told));
            Ok::<_, PresentationError>(tx.emit(event).await?)
        });
        made.await?;
        self.view(row.clone())
    }

    /// The request of a step that can be answered now, if there is one.
    pub async fn request_of_step(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
    ) -> Result<Option<PresentationView>, PresentationError> {
        let row = presentations::of_task(&self.db, &self.tenant, id, i64::from(serial)).await?;
        let row = row.filter(|row| self.status(row) == PresentationStatus::Pending);
        row.map(|row| self.view(row)).transpose()
    }

    /// Takes the session further by what was shown.
    pub(super) async fn take_step(
        &self,
        row: &PresentationRow,
        shown: Shown,
        origin: &Origin,
    ) -> Result<Answered, PresentationError> {
        let session = row.session().ok_or(PresentationError::Sealed)?;
        let serial = u32::try_from(row.task).map_err(|_| PresentationError::Sealed)?;
        let shown = shown.get(QUERY).and_then(|each| each.first());
        let Some((verified, claims)) = shown else {
            return Ok(Answered::Refused("credential_missing"));
        };
        let (now, issuer) = (self.clock.now(), &verified.issuer[..]);
        let (actor, limits) = (&Actor::Anonymous, (now, TRIES_MAX));
        let answer = &presentations::Answer { sealed: &[], denied: false };
        let taken = self.db.write(|tx| async move {
            if !presentations::answer(&tx, &self.tenant, row.id, answer, limits).await? {
                return Ok(None);
            }
            let open = self.sessions.waits_for(&tx, session, serial, CHECK).await?;
            let expected = open.expected_at(serial);
            let report: Id<tags::Check> = Id::new(now, &*self.entropy);
            let report = report_of(report, issuer, claims, &expected, now);
            let codes: &[_] = if report.reasons.is_empty() { &[] } else { &["field_differs"] };
            let event = self.event(row, report.status.as_str(), codes, actor, Some(origin));
            tx.emit(event).await?;
            let by = (actor, Some(origin));
            Ok::<_, PresentationError>(Some(
                self.sessions.take_report(&tx, open, serial, report, by).await?,
            ))
        });
        match taken.await {
            Ok(Some(open)) => {
                self.sessions.done(&open);
                Ok(Answered::Taken)
            }
            Ok(None) => Ok(Answered::Gone),
            // The step was taken otherwise, or the session is over.
            Err(PresentationError::Session(
                SessionError::Refused(_) | SessionError::NotAsked(_) | SessionError::Erased,
            )) => Ok(Answered::Gone),
            Err(error) => Err(error),
        }
    }
}

/// What a credential tells a session.
fn report_of(
    id: Id<tags::Check>,
    issuer: &str,
    claims: &Map<String, Json>,
    expected: &Expected,
    now: Timestamp,
) -> Report {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let claim = |name: &str| claims.get(name).and_then(text);
    let born = claim("birthdate").filter(|day| Day::parse(day).is_some());
    let nations = claims.get("nationalities").and_then(Json::as_array);
    let nations: Vec<String> = nations.into_iter().flatten().filter_map(text).collect();
    let three = |code: &String| three_letters(code).map_or(code.clone(), str::to_owned);
    let known = Known {
        surname: claim("family_name"),
        given_names: claim("given_name"),
        date_of_birth: born.clone(),
        nationality: nations.first().map(three),
        ..Known::default()
    };
    let differs = |expected: &Option<String>, ours: &Option<String>| match expected {
        Some(expected) => !ours.as_ref().is_some_and(|ours| same_words(expected, ours)),
        None => false,
    };
    let stranger = expected.nationality.as_ref().is_some_and(|expected| {
        let short = two_letters(expected).unwrap_or(expected);
        !nations.iter().any(|own| own == expected || own == short)
    });
    let fails = differs(&expected.surname, &known.surname)
        || differs(&expected.given_names, &known.given_names)
        || differs(&expected.date_of_birth, &known.date_of_birth)
        || stranger;
    let reasons = if fails {
        vec![Reason { code: "field_differs".to_owned(), severity: Weight::Failure }]
    } else {
        Vec::new()
    };
    let status = if fails { CheckStatus::Failed } else { CheckStatus::Passed };
    let rule = |name: &str| claims.get("verification").and_then(|all| all.get(name)).and_then(text);
    let mut values = Values::new();
    let texts = [
        ("issuer", Some(issuer.to_owned())),
        ("trust_framework", rule("trust_framework")),
        ("assurance_level", rule("assurance_level")),
        ("nationality", known.nationality.clone()),
        ("date_of_birth", born.clone()),
    ];
    for (name, value) in texts {
        values.extend(value.map(|value| (name.to_owned(), Value::Text(value))));
    }
    if let Some(born) = born.as_deref().and_then(Day::parse) {
        let age = f64::from(born.years_until(Day::at(now.secs())));
        values.insert("age".to_owned(), Value::Number(age));
    }
    let view = json!({
        "id": id.to_string(),
        "check": CHECK,
        "status": status,
        "assurance": Assurance::Cryptographic,
        "reasons": reasons,
        "issuer": issuer,
        "claims": claims,
    });
    Report {
        id: id.to_string(),
        status,
        // The issuer signed what it says, and the holder showed to have its key.
        assurance: Assurance::Cryptographic,
        reasons,
        values,
        detail: json!(Detail { known: Some(known), view }),
    }
}
