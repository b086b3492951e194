//! Credentials for a step of a session: somebody who was verified elsewhere says so.

use std::{collections::BTreeSet, time::Duration};

use portcullis_credentials::{
    FORMAT, Verified,
    dcql::{ClaimQuery, CredentialQuery, Meta, Query, Step},
};
use portcullis_documents::{
    three_letters,
    zone::{Day, Expected, same_name},
};
use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::idv::presentations::{self, PresentationRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus, Reason, Report, Value, Values, Weight};
use serde_json::{Map, Value as Json, json};

use super::{
    PresentationError, PresentationStatus, PresentationView, Presentations, TTL,
    answer::{Answered, Shown},
};
use crate::{Known, ListKind, SessionError, sessions::Detail};

/// The check, as the catalogue calls it.
const CHECK: &str = "credential";
/// The one credential query of a step.
const QUERY: &str = "person";
/// Requests of one session in an hour.
const REQUESTS_MAX: i64 = 20;
const HOUR: Duration = Duration::from_secs(3_600);
/// Letters of a name, and of a word of an issuer.
const NAME_MAX_CHARS: usize = 200;
const WORD_MAX_CHARS: usize = 128;
/// Nationalities of one person.
const NATIONS_MAX: usize = 16;

impl Presentations {
    /// What is asked for in a step: who somebody is, of which nationalities, and where that is known, by which rules.
    fn step_query(&self) -> Query {
        let claim = |id: &str, path: &[&str], last: Option<Step>| ClaimQuery {
            id: Some(id.to_owned()),
            path: path.iter().map(|name| Step::Member((*name).to_owned())).chain(last).collect(),
            values: Vec::new(),
        };
        let own = self.own.iter().map(|own| own.vct.clone());
        let identity = self.trusted.iter().flat_map(|trusted| trusted.identity.clone());
        let types: BTreeSet<String> = identity.chain(own).collect();
        // Whoever may keep quiet about where they are from is on no list of countries.
        let least = ["given", "family", "born", "nations"];
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
                claim_sets: vec![with(&["rules", "level"]), with(&["rules"]), with(&[])],
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
            let since = self.clock.now().minus(HOUR);
            let before = presentations::count_of_session(&tx, &self.tenant, id, since).await?;
            if before >= REQUESTS_MAX {
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

    /// Whether a credential is one of those of its issuer that prove who somebody is.
    fn proves(&self, verified: &Verified) -> bool {
        let own = self.own.iter().any(|own| own.issuer == verified.issuer);
        let named = self.trusted.iter().any(|trusted| {
            trusted.issuer == verified.issuer && trusted.identity.contains(&verified.vct)
        });
        own || named
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
            return self.refuse(row, "credential_missing", origin).await;
        };
        // Whom the issuer is asked about is one of those that prove who somebody is.
        let proves = self.step_query().credential(QUERY).is_some_and(|query| {
            query.meta.vct_values.contains(&verified.vct) && self.proves(verified)
        });
        if !proves {
            return self.refuse(row, "credential_type_unknown", origin).await;
        }
        if verified.withheld.contains("nationalities") {
            return self.refuse(row, "claim_withheld", origin).await;
        }
        let now = self.clock.now();
        let Some(person) = Person::read(claims, Day::at(now.secs())) else {
            return self.refuse(row, "claims_malformed", origin).await;
        };
        let open = self.sessions.read(session).await?;
        // Somebody else's says nothing of this one: whoever saw the code cannot have the person declined by it.
        if !person.fits(&open.expected_at(serial)) {
            return self.refuse(row, "field_differs", origin).await;
        }
        let (actor, person) = (&Actor::Anonymous, &person);
        let taken = self.db.write(|tx| async move {
            if !presentations::answer(&tx, &self.tenant, row.id, &[], now).await? {
                return Ok(None);
            }
            let open = self.sessions.waits_for(&tx, session, serial, CHECK).await?;
            let expected = open.expected_at(serial);
            if !person.fits(&expected) {
                return Err(SessionError::Stale.into());
            }
            let report: Id<tags::Check> = Id::new(now, &*self.entropy);
            let report = report_of(report, verified, claims, person, &expected, now);
            let codes: &[_] = if report.reasons.is_empty() { &[] } else { &["not_compared"] };
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
            Err(PresentationError::Session(SessionError::Stale)) => {
                self.refuse(row, "field_differs", origin).await
            }
            // The step was taken otherwise, or the session is over.
            Err(PresentationError::Session(
                SessionError::Refused(_) | SessionError::NotAsked(_) | SessionError::Erased,
            )) => Ok(Answered::Gone),
            Err(error) => Err(error),
        }
    }
}

/// Who somebody is by a credential.
struct Person {
    known: Known,
    nations: Vec<String>,
    born: Day,
}

impl Person {
    /// What is told, if it is as it has to be: whoever screens by it shall not screen nobody.
    fn read(claims: &Map<String, Json>, today: Day) -> Option<Self> {
        let name = |name: &str| {
            let text = claims.get(name)?.as_str()?;
            let fits = |letter: char| !letter.is_control() && !is_directing(letter);
            let length = text.trim().chars().take(NAME_MAX_CHARS + 1).count();
            ((1..=NAME_MAX_CHARS).contains(&length) && text.chars().all(fits))
                .then(|| text.to_owned())
        };
        let (surname, given_names) = (name("family_name")?, name("given_name")?);
        let day = claims.get("birthdate")?.as_str()?;
        let born = Day::parse(day).filter(|born| *born <= today)?;
        let nation = |one: &Json| {
            let code = one.as_str()?;
            let fits =
                (2..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase());
            fits.then(|| code.to_owned())
        };
        let nations = claims.get("nationalities")?.as_array()?;
        let nations: Vec<String> = nations.iter().map(nation).collect::<Option<_>>()?;
        if !(1..=NATIONS_MAX).contains(&nations.len()) {
            return None;
        }
        let three = |code: &String| three_letters(code).map_or(code.clone(), str::to_owned);
        let known = Known {
            surname: Some(surname),
            given_names: Some(given_names),
            date_of_birth: Some(day.to_owned()),
            nationality: nations.first().map(three),
            other_nationalities: nations.iter().skip(1).map(three).collect(),
            ..Known::default()
        };
        Some(Self { known, nations, born })
    }

    /// Whether they may be who is expected, as far as that can be told.
    fn fits(&self, expected: &Expected) -> bool {
        let named = |expected: &Option<String>, ours: &Option<String>| match (expected, ours) {
            (Some(expected), Some(ours)) => same_name(ours, expected),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let short = |code: &String| ListKind::Country.normal(code).unwrap_or_else(|_| code.clone());
        let is_of = |code: &String| self.nations.iter().any(|own| short(own) == short(code));
        named(&expected.surname, &self.known.surname)
            && named(&expected.given_names, &self.known.given_names)
            && (expected.date_of_birth.is_none()
                || expected.date_of_birth == self.known.date_of_birth)
            && expected.nationality.as_ref().is_none_or(is_of)
    }
}

/// What turns letters around, so that they read as others.
fn is_directing(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a credential tells a session.
fn report_of(
    id: Id<tags::Check>,
    verified: &Verified,
    claims: &Map<String, Json>,
    person: &Person,
    expected: &Expected,
    now: Timestamp,
) -> Report {
    // What is expected of a document, no credential says.
    let of_documents =
        [&expected.document_number, &expected.issuing_state, &expected.date_of_expiry];
    let lacks = of_documents.into_iter().any(Option::is_some);
    let reason = || Reason { code: "not_compared".to_owned(), severity: Weight::Doubt };
    let reasons: Vec<Reason> = lacks.then(reason).into_iter().collect();
    let status = if lacks { CheckStatus::Review } else { CheckStatus::Passed };
    let rule = |name: &str| {
        let text = claims.get("verification")?.get(name)?.as_str()?;
        let fits = text.chars().count() <= WORD_MAX_CHARS && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    };
    let mut values = Values::new();
    let texts = [
        ("issuer", Some(verified.issuer.clone())),
        ("vct", Some(verified.vct.clone())),
        ("trust_framework", rule("trust_framework")),
        ("assurance_level", rule("assurance_level")),
        ("nationality", person.known.nationality.clone()),
        ("date_of_birth", person.known.date_of_birth.clone()),
    ];
    for (name, value) in texts {
        values.extend(value.map(|value| (name.to_owned(), Value::Text(value))));
    }
    let age = f64::from(person.born.years_until(Day::at(now.secs())));
    values.insert("age".to_owned(), Value::Number(age));
    let view = json!({
        "id": id.to_string(),
        "check": CHECK,
        "status": status,
        "assurance": Assurance::Cryptographic,
        "reasons": reasons,
        "issuer": verified.issuer,
        "vct": verified.vct,
        "subject": person.known,
        "trust_framework": rule("trust_framework"),
        "assurance_level": rule("assurance_level"),
    });
    Report {
        id: id.to_string(),
        status,
        // The issuer signed what it says, and the holder showed to have its key.
        assurance: Assurance::Cryptographic,
        reasons,
        values,
        detail: json!(Detail { known: Some(person.known.clone()), view, watched: None }),
    }
}
