//! Whom an account belongs to, where a workflow verifies that: written when it approves, from what a chip says
//! whose signature holds.

use portcullis_documents::two_letters;
use portcullis_events::{Actor, AdminChange, Kind, Origin};
use portcullis_store::{
    Tx, accounts,
    idv::{
        faces,
        identities::{self, IdentityOf, IdentityRow},
        proofs,
    },
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus, Decision, Done, Values, Verdict, Verifies};
use serde_json::{Map, Value, json};

use super::{Known, Open, SessionError, Sessions};

/// What became of who somebody is: it was kept.
pub(super) const KEPT: &str = "kept";
/// Somebody else owns the account.
pub(super) const OTHER_PERSON: &str = "other_person";

/// A verified identity of an account.
#[derive(Debug, Clone)]
pub struct VerifiedIdentity {
    /// Whose, by which session and which rules.
    pub of: IdentityOf,
    /// When that was decided.
    pub at: Timestamp,
    /// An element of `verified_claims` (OpenID Identity Assurance Schema Definition 1.0).
    pub verified: Value,
}

impl Sessions {
    /// Whether `account` is one that a session can be about; its address.
    pub(super) async fn check_account(
        &self,
        tx: &Tx,
        account: Id<tags::User>,
    ) -> Result<String, SessionError> {
        let found = accounts::by_id(tx, &self.tenant, account).await?;
        let found = found.filter(|account| account.disabled_at.is_none());
        let must = || SessionError::Invalid("account", "must be one that can log in".to_owned());
        found.map(|account| account.email).ok_or_else(must)
    }

    /// Keeps who the account belongs to, if the workflow says so and the chip proves it; tells what came of that
    /// in a word, or nothing where the workflow says nothing.
    pub(super) async fn keep_identity(
        &self,
        tx: &Tx,
        open: &Open,
        decision: &Decision,
    ) -> Result<Option<&'static str>, SessionError> {
        let Some(verifies) = &open.plan.graph().verifies else { return Ok(None) };
        let Some(account) = open.row.account() else { return Ok(Some("no_account")) };
        if decision.verdict != Verdict::Approved {
            return Ok(Some("not_approved"));
        }
        if !self.trust_frameworks.contains(&verifies.trust_framework) {
            return Ok(Some("unknown_trust_framework"));
        }
        let Some(verified) = verified(open, verifies, decision) else {
            return Ok(Some("not_proven"));
        };
        let found = accounts::by_id(tx, &self.tenant, account).await?;
        if found.is_none_or(|account| account.disabled_at.is_some()) {
            return Ok(Some("no_account"));
        }
        // People change their names, and not when they were born.
        let born = &verified["claims"]["birthdate"];
        // Whom a passkey stands for is known as well.
        let person = self.person(account, born.as_str().unwrap_or_default());
        if proofs::persons(tx, &self.tenant, account).await?.iter().any(|known| *known != person) {
            return Ok(Some(OTHER_PERSON));
        }
        let known = identities::of_account(tx, &self.tenant, account).await?;
        if known.is_empty() {
            // What was approved while nobody knew who the owner is may have been somebody else.
            proofs::forget(tx, &self.tenant, account).await?;
        }
        for row in known {
            if row.open(&self.sealer).is_ok_and(|known| known["claims"]["birthdate"] != *born) {
                return Ok(Some(OTHER_PERSON));
            }
        }
        let of = IdentityOf {
            account,
            session: open.row.id,
            trust_framework: verifies.trust_framework.clone(),
            assurance_level: verifies.assurance_level.clone().unwrap_or_default(),
        };
        let text = verified.to_string();
        let sealed = open.key.seal(&of.purpose(), text.as_bytes(), &*self.entropy)?;
        identities::put(tx, &self.tenant, &of, decision.at, &sealed).await?;
        Ok(Some(KEPT))
    }

    /// Who an account belongs to.
    pub async fn identities(
        &self,
        account: Id<tags::User>,
    ) -> Result<Vec<VerifiedIdentity>, SessionError> {
        if accounts::by_id(&self.db, &self.tenant, account).await?.is_none() {
            return Err(SessionError::NotFound);
        }
        let rows = identities::of_account(&self.db, &self.tenant, account).await?;
        let open = |row: &IdentityRow| {
            let verified = row.open(&self.sealer)?;
            Ok(VerifiedIdentity { of: row.of(), at: row.verified_at, verified })
        };
        rows.iter().map(open).collect()
    }

    /// From now on nobody is told who an account belongs to, and what is going on does not change that.
    pub async fn revoke_identities(
        &self,
        account: Id<tags::User>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), SessionError> {
        let revoked = self.db.write(|tx| async move {
            if identities::revoke(&tx, &self.tenant, account).await? == 0 {
                return Err(SessionError::NotFound);
            }
            // Nor is anybody known again by a face that was taken for theirs.
            faces::remove_of(&tx, &self.tenant, &account.to_string()).await?;
            let change = AdminChange {
                action: "revoke",
                object_type: "verified_identity",
                object: account.to_string(),
                before: None,
                after: None,
            };
            Ok(tx.emit(self.event(by, Some(origin), Kind::Admin(change))).await?)
        });
        revoked.await?;
        self.db.overwrite_remnants().await;
        Ok(())
    }
}

/// What is told of who somebody is; `None` if no chip proves it.
fn verified(open: &Open, verifies: &Verifies, decision: &Decision) -> Option<Value> {
    let done = open.state.done.get(&verifies.from)?;
    let report = done.report.as_ref()?;
    let proven = done.status == CheckStatus::Passed && report.assurance == Assurance::Cryptographic;
    let known = open.known_by(&verifies.from).filter(|_| proven)?;
    let mut verification = json!({
        "trust_framework": verifies.trust_framework,
        "time": decision.at.to_rfc3339(),
        "verification_process": open.row.id.to_string(),
        "evidence": [{
            "type": "document",
            "time": done.at.to_rfc3339(),
            // That its signature holds; that it is theirs nobody has looked at.
            "check_details": [{
                "check_method": "vcrypt",
                "check_id": report.id,
                "time": done.at.to_rfc3339(),
            }],
        }],
    });
    // What it is has to be told with it.
    if let Some(document) = document(&known, done) {
        verification["evidence"][0]["document_details"] = document;
    }
    if let Some(level) = &verifies.assurance_level {
        verification["assurance_level"] = json!(level);
    }
    Some(json!({ "verification": verification, "claims": claims(&known) }))
}

/// The members that are known.
fn object(members: [(&str, Option<Value>); 4]) -> Value {
    let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect::<Map<_, _>>())
}

fn text(text: &Option<String>) -> Option<Value> {
    text.as_deref().map(Value::from)
}

/// ISO 3166-1 with two letters. What only ICAO 9303-3 knows stays as it is: a British National (Overseas) is
/// no citizen, and the United Nations no state.
fn country(code: &Option<String>) -> Option<&str> {
    let of_icao = |code: &str| {
        let british = code.starts_with("GB") && code != "GBR";
        british
            || code.starts_with('X')
            || ["EUE", "RKS", "UNA", "UNK", "UNO", "UTO"].contains(&code)
    };
    let code = code.as_deref()?;
    Some(two_letters(code).filter(|_| !of_icao(code)).unwrap_or(code))
}

/// As they stand in the zone: capital letters, without accents.
fn claims(known: &Known) -> Value {
    object([
        ("given_name", text(&known.given_names)),
        ("family_name", text(&known.surname)),
        ("birthdate", text(&known.date_of_birth)),
        ("nationalities", country(&known.nationality).map(|code| json!([code]))),
    ])
}

/// What it is called (OpenID Identity Assurance Schema Definition 1.0, predefined values), by the code of its zone
/// (ICAO 9303-4 to -6). Codes whose second letter is up to the issuer are no proof of what it is.
fn kind(code: &str) -> Option<&'static str> {
    match code.as_bytes() {
        [b'P', ..] => Some("passport"),
        [b'A' | b'I', b'R', ..] => Some("residence_permit"),
        [b'I'] | [b'I', b'D' | b'<', ..] => Some("idcard"),
        _ => None,
    }
}

fn document(known: &Known, done: &Done) -> Option<Value> {
    Some(object([
        ("type", Some(kind(code(&done.values))?.into())),
        ("document_number", text(&known.document_number)),
        ("date_of_expiry", text(&known.date_of_expiry)),
        ("issuer", country(&known.issuing_state).map(|code| json!({ "country": code }))),
    ]))
}

fn code(values: &Values) -> &str {
    match values.get("document_code") {
        Some(portcullis_workflow::Value::Text(code)) => code,
        _ => "",
    }
}
