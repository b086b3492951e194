//! Whether somebody reads the mail of an address: a code is sent there, and comes back.

use std::time::Duration;

use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::{
    Mail, Tx,
    idv::codes::{self, CodeRow},
};
use portcullis_texts::{Lang, speaking_now, t, tf};
use portcullis_types::{Id, random_array, same_secret, tags};
use portcullis_workflow::{
    Assurance, CheckStatus, Event, Outcome, Reason, Refused, Report, Value, Values, Weight,
};
use serde_json::{Value as Json, json};

use super::{Detail, ListKind, Open, SessionError, Sessions};

/// A code works so long.
const CODE_TTL: Duration = Duration::from_secs(600);
/// Codes for one try of a step.
const SENDS_MAX: i64 = 3;
/// Wrong codes for one try of a step: one in 200,000 guesses it.
const TRIES_MAX: i64 = 5;
/// Codes to one address in an hour, from all sessions: nobody is flooded by links of others.
const ADDRESS_MAX: i64 = 6;
const HOUR: Duration = Duration::from_secs(3_600);

/// What somebody does about an address.
#[derive(Debug, Clone)]
pub enum MailAnswer {
    /// Wants a code, here; without an address at the one that is known.
    Send(Option<String>),
    /// Wants one at an address that they typed. Where some are known it is none of them: who has the link must not
    /// find out which are.
    Typed(String),
    /// Wants one at the known address in this place.
    Place(usize),
    /// Has one.
    Code(String),
}

/// Who gives something, from where.
pub(super) type By<'a> = (&'a Actor, &'a Origin);

impl Sessions {
    /// Whether a code was sent for a try that still works, for the page that asks for it.
    pub async fn waits_for_code(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
    ) -> Result<bool, SessionError> {
        let row = codes::of_task(&self.db, &self.tenant, id, i64::from(serial)).await?;
        Ok(row.is_some_and(|row| row.expires_at > self.now()))
    }

    pub(super) async fn mail(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
        answer: &MailAnswer,
        by: By<'_>,
    ) -> Result<(Json, Open), SessionError> {
        let done = self
            .db
            .write(|tx| async move {
                let open = self.open(&tx, id).await?;
                if open.state.status.is_final() {
                    return Err(Refused::Over.into());
                }
                if !open.steps().any(|step| step.serial == serial) {
                    return Err(Refused::Stale.into());
                }
                match answer {
                    MailAnswer::Code(code) => self.look_at(&tx, open, serial, code, by).await,
                    to => Ok(Ok((Json::Null, self.send(&tx, open, serial, to, by).await?))),
                }
            })
            .await?;
        // A wrong code is counted before it is refused.
        let (view, open) = done?;
        self.done(&open);
        Ok((view, open))
    }

    async fn send(
        &self,
        tx: &Tx,
        open: Open,
        serial: u32,
        to: &MailAnswer,
        by: By<'_>,
    ) -> Result<Open, SessionError> {
        let (id, now, invalid) = (open.row.id, self.now(), |must: &str| {
            SessionError::Invalid("address", must.to_owned())
        });
        let (address, is_known) = address_of(&open, to).map_err(invalid)?;
        let before = codes::of_task(tx, &self.tenant, id, i64::from(serial)).await?;
        let send = before.as_ref().map_or(0, |row| row.send) + 1;
        if send > SENDS_MAX {
            return Err(invalid("has been sent codes often enough"));
        }
        // Whoever types an address uses up nothing of what its owner is sent.
        let digest = self.hex_digest(&[b"code_address", &[u8::from(is_known)], address.as_bytes()]);
        let since = now.minus(HOUR);
        if codes::sent_to(tx, &self.tenant, &digest, since).await? >= ADDRESS_MAX {
            return Err(invalid("has been sent codes often enough; try again in an hour"));
        }
        let number = u64::from_be_bytes(random_array(&*self.entropy)) % 1_000_000;
        let code = format!("{number:06}");
        let row = CodeRow {
            task: i64::from(serial),
            send,
            sealed: open.key.seal(&purpose(id, serial), address.as_bytes(), &*self.entropy)?,
            address: digest,
            code: self.code(id, serial, &code),
            // Whoever asks for another one gets no more tries by that.
            tries: before.map_or(0, |row| row.tries),
            sent_at: now,
            expires_at: now.plus(CODE_TTL),
        };
        codes::put(tx, &self.tenant, id, &row).await?;
        let lang = Lang::of_tag(&open.start.locale).unwrap_or_else(portcullis_texts::current);
        let mail = speaking_now(lang, || Mail {
            to: address,
            subject: t("Your code").to_owned(),
            text: tf(
                "{0} is your code. It works for ten minutes. If you did not ask for it, do nothing.\n",
                &[&code],
            ),
        });
        mail.queue(tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
        let node = open.steps().find(|step| step.serial == serial).map(|step| step.node.to_owned());
        let told = Verification { change: "code_sent", node, ..self.about_row(&open.row) };
        tx.emit(self.event(by.0, Some(by.1), Kind::Verification(told))).await?;
        Ok(open)
    }

    async fn look_at(
        &self,
        tx: &Tx,
        open: Open,
        serial: u32,
        code: &str,
        by: By<'_>,
    ) -> Result<Result<(Json, Open), SessionError>, SessionError> {
        let (id, invalid) = (open.row.id, |must: String| SessionError::Invalid("code", must));
        let row = codes::of_task(tx, &self.tenant, id, i64::from(serial)).await?;
        let Some(mut row) = row.filter(|row| row.expires_at > self.now()) else {
            return Err(invalid("has expired, or none was sent".to_owned()));
        };
        let code: String = code.chars().filter(char::is_ascii_digit).collect();
        let is_right = same_secret(&self.code(id, serial, &code), &row.code);
        if !is_right {
            row.tries += 1;
            codes::put(tx, &self.tenant, id, &row).await?;
            if row.tries < TRIES_MAX {
                let left = TRIES_MAX - row.tries;
                return Ok(Err(invalid(format!(
                    "is not right; it can be tried {left} times more"
                ))));
            }
        }
        let address = open.key.open(&purpose(id, serial), &row.sealed)?;
        let address = String::from_utf8(address).map_err(|_| SessionError::Sealed)?;
        let check: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
        let report = report(check, &address, is_right, self.is_disposable(&address));
        let view = report.detail["view"].clone();
        let event = Event::Given { serial, outcome: Outcome::Report(Box::new(report)) };
        let open = self.take(tx, open, event, (by.0, Some(by.1))).await?;
        Ok(Ok((view, open)))
    }

    /// Whether the domain of an address, or one above it, is one that anybody has for a while.
    fn is_disposable(&self, address: &str) -> Option<bool> {
        let list = self.disposable.as_ref()?;
        let mut domain = address.rsplit_once('@')?.1;
        loop {
            if list.contains(domain) {
                return Some(true);
            }
            match domain.split_once('.') {
                Some((_, above)) => domain = above,
                None => return Some(false),
            }
        }
    }

    fn code(&self, id: Id<tags::IdvSession>, serial: u32, code: &str) -> Vec<u8> {
        let id = id.to_string();
        self.digest(&[b"code", id.as_bytes(), &serial.to_be_bytes(), code.as_bytes()])
    }
}

fn purpose(id: Id<tags::IdvSession>, serial: u32) -> String {
    format!("idv_session:{id}:code:{serial}")
}

/// Where a code goes, and whether whoever began the session says so.
fn address_of(open: &Open, to: &MailAnswer) -> Result<(String, bool), &'static str> {
    let known = open.start.identifiers.get(&ListKind::Email);
    let normal = |said: &str| ListKind::Email.normal(said);
    match (known, to) {
        (None, MailAnswer::Send(Some(said)) | MailAnswer::Typed(said)) => {
            Ok((normal(said)?, false))
        }
        (Some(known), MailAnswer::Place(place)) => {
            let known = known.iter().nth(*place).cloned();
            known.map(|known| (known, true)).ok_or("must be one that is known of you")
        }
        (Some(known), MailAnswer::Send(None)) if known.len() == 1 => {
            known.first().cloned().map(|known| (known, true)).ok_or("is needed")
        }
        (Some(known), MailAnswer::Send(Some(said))) => {
            let said = normal(said)?;
            if known.contains(&said) {
                Ok((said, true))
            } else {
                Err("must be one that is known of you")
            }
        }
        (Some(_), MailAnswer::Typed(_)) => Err("must be one that is known of you"),
        _ => Err("is needed"),
    }
}

fn report(
    id: Id<tags::Check>,
    address: &str,
    is_right: bool,
    is_disposable: Option<bool>,
) -> Report {
    let status = if is_right { CheckStatus::Passed } else { CheckStatus::Failed };
    let reasons = if is_right {
        Vec::new()
    } else {
        vec![Reason { code: "code_wrong".to_owned(), severity: Weight::Failure }]
    };
    let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_owned());
    let values = domain.map(|domain| ("domain".to_owned(), Value::Text(domain)));
    let flag = is_disposable.map(|flag| ("is_disposable".to_owned(), Value::Flag(flag)));
    let view = json!({
        "id": id.to_string(),
        "check": "email",
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        "address": address,
    });
    Report {
        id: id.to_string(),
        status,
        // That somebody reads the mail of an address says nothing of who they are.
        assurance: Assurance::Heuristic,
        reasons,
        values: values.into_iter().chain(flag).collect::<Values>(),
        detail: json!(Detail { known: None, view }),
    }
}
