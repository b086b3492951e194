//! Whether somebody reads what is sent to an address or a number: a code goes there, and comes back.

use std::time::Duration;

use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_phone::{Phone, PhoneKind};
use portcullis_store::{
    Mail, Sms, Source, Tx,
    idv::codes::{self, CodeRow, SentRow},
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
/// Codes to addresses that somebody typed, for one line in an hour: for a household, and a small office.
const LINE_MAX: i64 = 20;
const HOUR: Duration = Duration::from_secs(3_600);

/// How a code goes to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By mail.
    Email,
    /// By text message.
    Phone,
}

impl Channel {
    /// The check that it is for.
    pub fn check(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }

    /// As what it goes to is kept on lists.
    pub fn kind(self) -> ListKind {
        match self {
            Self::Email => ListKind::Email,
            Self::Phone => ListKind::Phone,
        }
    }

    /// What it goes to.
    fn field(self) -> &'static str {
        match self {
            Self::Email => "address",
            Self::Phone => "number",
        }
    }
}

/// By which terms text messages go out. Whoever has numbers called dearly for them wants many of them sent.
#[derive(Debug, Clone)]
pub struct SmsTerms {
    /// The regions of the numbers that they go to, with two letters.
    pub regions: Vec<String>,
    /// So many go out in an hour, to whomever.
    pub hourly: i64,
    /// The host of the pages, by which browsers know for whom a code is.
    pub host: String,
}

impl SmsTerms {
    /// How numbers are dialled without the code of a country, if that is plain.
    fn home(&self) -> Option<&str> {
        let [one] = &self.regions[..] else { return None };
        Some(one)
    }
}

/// What somebody does about an address or a number.
#[derive(Debug, Clone)]
pub enum CodeAnswer {
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

    pub(super) async fn by_code(
        &self,
        (id, serial): (Id<tags::IdvSession>, u32),
        channel: Channel,
        answer: &CodeAnswer,
        by: By<'_>,
    ) -> Result<(Json, Open), SessionError> {
        if !matches!(answer, CodeAnswer::Code(_)) {
            self.look_where(id, channel, answer, by).await?;
        }
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
                if channel == Channel::Phone && self.sms.is_none() {
                    let outcome = Outcome::Unsupported("no_sms".to_owned());
                    let event = Event::Given { serial, outcome };
                    let open = self.take(&tx, open, event, (by.0, Some(by.1))).await?;
                    return Ok(Ok((Json::Null, open)));
                }
                match answer {
                    CodeAnswer::Code(code) => {
                        self.look_at(&tx, (open, serial), channel, code, by).await
                    }
                    to => {
                        let open = self.send(&tx, (open, serial), channel, to, by).await?;
                        Ok(Ok((Json::Null, open)))
                    }
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
        (open, serial): (Open, u32),
        channel: Channel,
        to: &CodeAnswer,
        by: By<'_>,
    ) -> Result<Open, SessionError> {
        let (id, now, invalid) = (open.row.id, self.now(), |must: &str| {
            SessionError::Invalid(channel.field(), must.to_owned())
        });
        let home = self.sms.as_ref().and_then(SmsTerms::home);
        let (address, is_known) = address_of(&open, channel, to, home).map_err(invalid)?;
        let before = codes::of_task(tx, &self.tenant, id, i64::from(serial)).await?;
        let send = before.as_ref().map_or(0, |row| row.send) + 1;
        if send > SENDS_MAX {
            return Err(invalid("has been sent codes often enough"));
        }
        let sent = self.sent(channel, (&address, is_known), by);
        if let Err(must) = self.has_room(tx, &sent).await? {
            return Err(invalid(must));
        }
        let mut region = None;
        if let (Channel::Phone, Some(terms)) = (channel, &self.sms) {
            region = Some(goes_there(&address, terms).map_err(invalid)?);
            // Those whose number is known are not kept out by whoever types numbers.
            let typed = terms.hourly - (terms.hourly / 5).max(i64::from(terms.hourly > 1));
            let most = if is_known { terms.hourly } else { typed };
            let what = (channel.check(), !is_known);
            let before = codes::sent_by(tx, &self.tenant, what, now.minus(HOUR)).await?;
            if before >= most {
                return Err(invalid(
                    "cannot be sent a code: there are many just now; try again later",
                ));
            }
            if before + 1 == most {
                tracing::warn!(
                    most,
                    "as many codes as may be went out as text messages in an hour"
                );
            }
        }
        codes::note_sent(tx, &self.tenant, &sent).await?;
        let number = u64::from_be_bytes(random_array(&*self.entropy)) % 1_000_000;
        let code = format!("{number:06}");
        let row = CodeRow {
            task: i64::from(serial),
            send,
            sealed: open.key.seal(&purpose(id, serial), address.as_bytes(), &*self.entropy)?,
            code: self.code(id, serial, &code),
            // Whoever asks for another one gets no more tries by that.
            tries: before.map_or(0, |row| row.tries),
            sent_at: now,
            expires_at: now.plus(CODE_TTL),
        };
        codes::put(tx, &self.tenant, id, &row).await?;
        let lang = Lang::of_tag(&open.start.locale).unwrap_or_else(portcullis_texts::current);
        let session = id.to_string();
        let whose = (&self.tenant[..], &session[..]);
        match (channel, &self.sms) {
            (Channel::Phone, Some(terms)) => {
                let text = speaking_now(lang, || tf("{0} is your code.", &[&code]));
                // Telephones offer the code to pages of this host, and to no others.
                let text = format!("{text}\n\n@{} #{code}", terms.host);
                let (locale, expires_at) = (lang.tag().to_owned(), row.expires_at);
                let sms = Sms { to: address, text, locale, expires_at };
                sms.queue(tx, whose, &self.sealer, &self.entropy, now).await?;
            }
            _ => {
                let mail = speaking_now(lang, || Mail {
                    to: address,
                    subject: t("Your code").to_owned(),
                    text: tf(
                        "{0} is your code. It works for ten minutes. If you did not ask for it, do nothing.\n",
                        &[&code],
                    ),
                });
                mail.queue_about(tx, whose, &self.sealer, &self.entropy, now).await?;
            }
        }
        // By which way, and where to: whoever has many sent is found by that.
        let way = match region {
            Some(region) => format!("{}_{}", channel.check(), region.to_ascii_lowercase()),
            None => channel.check().to_owned(),
        };
        let node = open.steps().find(|step| step.serial == serial).map(|step| step.node.to_owned());
        let about = self.about_row(&open.row);
        let told = Verification { change: "code_sent", node, reason: Some(way), ..about };
        tx.emit(self.event(by.0, Some(by.1), Kind::Verification(told))).await?;
        Ok(open)
    }

    /// What is noted of a code that goes out.
    fn sent(&self, channel: Channel, (address, is_known): (&str, bool), by: By<'_>) -> SentRow {
        let now = self.now();
        // What stands behind a plus is read by the same person.
        let plain = match (channel, address.rsplit_once('@')) {
            (Channel::Email, Some((local, domain))) => {
                let local = local.split('+').next().unwrap_or(local);
                format!("{local}@{domain}")
            }
            _ => address.to_owned(),
        };
        // Whoever types an address uses up nothing of what its owner is sent.
        let known = [u8::from(is_known)];
        let digest = self.hex_digest(&[b"code_address", &known, plain.as_bytes()]);
        // Services send from one line for everybody.
        let line = matches!(by.0, Actor::Anonymous).then(|| by.1.addr.key().to_string());
        let line = line.map(|line| self.hex_digest(&[b"code_line", line.as_bytes()]));
        SentRow {
            id: Id::<tags::Check>::new(now, &*self.entropy).to_string(),
            channel: channel.check(),
            address: digest,
            line: line.unwrap_or_default(),
            is_known,
            sent_at: now,
            expires_at: now.plus(HOUR),
        }
    }

    /// Refuses an address of a domain that takes no mail, before anything is written. Where there is no room for a code
    /// nobody is asked about it, and asking uses up some.
    async fn look_where(
        &self,
        id: Id<tags::IdvSession>,
        channel: Channel,
        to: &CodeAnswer,
        by: By<'_>,
    ) -> Result<(), SessionError> {
        if channel != Channel::Email || self.mail_hosts.is_none() {
            return Ok(());
        }
        let open = self.read(id).await?;
        let Ok((address, false)) = address_of(&open, channel, to, None) else { return Ok(()) };
        let sent = &self.sent(channel, (&address, false), by);
        if self.has_room(&self.db, sent).await?.is_err() || !self.is_nowhere(&address).await {
            return Ok(());
        }
        self.db.write(|tx| async move { codes::note_sent(&tx, &self.tenant, sent).await }).await?;
        let must = "must be of a domain that takes mail".to_owned();
        Err(SessionError::Invalid(channel.field(), must))
    }

    /// Whether one more code may go out: to an address, and for whoever comes from a line.
    async fn has_room(
        &self,
        source: impl Source + Copy,
        sent: &SentRow,
    ) -> Result<Result<(), &'static str>, SessionError> {
        let since = sent.sent_at.minus(HOUR);
        let to = codes::sent_to(source, &self.tenant, &sent.address, since).await?;
        let mut must =
            (to >= ADDRESS_MAX).then_some("has been sent codes often enough; try again in an hour");
        if !sent.line.is_empty() && !sent.is_known {
            let from = (sent.channel, &sent.line[..]);
            let from = codes::sent_from(source, &self.tenant, from, since).await?;
            must = must.or((from >= LINE_MAX)
                .then_some("cannot be sent more codes from where you are; try again in an hour"));
        }
        Ok(must.map_or(Ok(()), Err))
    }

    async fn look_at(
        &self,
        tx: &Tx,
        (open, serial): (Open, u32),
        channel: Channel,
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
        let values = match channel {
            Channel::Email => self.of_address(&address),
            Channel::Phone => of_number(&open, &address),
        };
        let report = report(check, (channel, &address), is_right, values);
        let view = report.detail["view"].clone();
        let event = Event::Given { serial, outcome: Outcome::Report(Box::new(report)) };
        let open = self.take(tx, open, event, (by.0, Some(by.1))).await?;
        Ok(Ok((view, open)))
    }

    /// What an address tells.
    pub(super) fn of_address(&self, address: &str) -> Values {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let values = domain.map(|domain| ("domain".to_owned(), Value::Text(domain)));
        let flag = self.is_disposable(address);
        let flag = flag.map(|flag| ("is_disposable".to_owned(), Value::Flag(flag)));
        values.into_iter().chain(flag).collect()
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
fn address_of(
    open: &Open,
    channel: Channel,
    to: &CodeAnswer,
    home: Option<&str>,
) -> Result<(String, bool), &'static str> {
    let known = open.start.identifiers.get(&channel.kind());
    let normal = |said: &str| match channel {
        Channel::Email => ListKind::Email.normal(said),
        Channel::Phone => Phone::read(said, home)
            .map(|phone| phone.number)
            .map_err(|_| "must be a telephone number with + and the code of its country"),
    };
    match (known, to) {
        (None, CodeAnswer::Send(Some(said)) | CodeAnswer::Typed(said)) => {
            Ok((normal(said)?, false))
        }
        (Some(known), CodeAnswer::Place(place)) => {
            let known = known.iter().nth(*place).ok_or("must be one that is known of you")?;
            Ok((normal(known)?, true))
        }
        (Some(known), CodeAnswer::Send(None)) if known.len() == 1 => {
            let known = known.first().ok_or("is needed")?;
            Ok((normal(known)?, true))
        }
        (Some(known), CodeAnswer::Send(Some(said))) => {
            let said = normal(said)?;
            if known.iter().any(|known| normal(known).as_ref() == Ok(&said)) {
                Ok((said, true))
            } else {
                Err("must be one that is known of you")
            }
        }
        (Some(_), CodeAnswer::Typed(_)) => Err("must be one that is known of you"),
        _ => Err("is needed"),
    }
}

/// The region of a number, if text messages go there.
fn goes_there(number: &str, terms: &SmsTerms) -> Result<String, &'static str> {
    let phone = Phone::read(number, None).map_err(|_| "must be a number that there is")?;
    if !phone.kind.takes_texts() {
        return Err("must be one that gets text messages");
    }
    let region = phone.region.unwrap_or_default();
    if terms.regions.contains(&region) {
        Ok(region)
    } else {
        Err("must be of a country to which text messages are sent from here")
    }
}

/// What a number tells.
fn of_number(open: &Open, number: &str) -> Values {
    let Ok(Phone { region, kind, .. }) = Phone::read(number, None) else { return Values::new() };
    let documents = super::seen::countries_of_documents(open);
    let code = region.as_deref().and_then(|region| ListKind::Country.normal(region).ok());
    let differs = code.filter(|_| !documents.is_empty()).map(|code| !documents.contains(&code));
    let kind = (kind != PhoneKind::Unknown).then(|| Value::Text(kind.as_str().to_owned()));
    let all = [
        ("country", region.map(Value::Text)),
        ("kind", kind),
        ("country_differs", differs.map(Value::Flag)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn report(
    id: Id<tags::Check>,
    (channel, address): (Channel, &str),
    is_right: bool,
    values: Values,
) -> Report {
    let status = if is_right { CheckStatus::Passed } else { CheckStatus::Failed };
    let reason = |code: &str, severity| Reason { code: code.to_owned(), severity };
    let differs = values.get("country_differs") == Some(&Value::Flag(true));
    let is_voip = values.get("kind") == Some(&Value::Text(PhoneKind::Voip.as_str().to_owned()));
    let reasons = [
        (!is_right).then(|| reason("code_wrong", Weight::Failure)),
        differs.then(|| reason("country_differs", Weight::Information)),
        is_voip.then(|| reason("number_voip", Weight::Information)),
    ];
    let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
    let view = json!({
        "id": id.to_string(),
        "check": channel.check(),
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        channel.field(): address,
        "values": values,
    });
    Report {
        id: id.to_string(),
        status,
        // That somebody reads what is sent to an address says nothing of who they are.
        assurance: Assurance::Heuristic,
        reasons,
        values,
        detail: json!(Detail { view, ..Detail::default() }),
    }
}
