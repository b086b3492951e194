//! Alerts, and those that nothing but an alert answers: by rules of the operator's own.

use std::{borrow::Cow, net::IpAddr};

use portcullis_events::{AlertRaised, Event, Kind, Origin};
use portcullis_store::{
    Tx,
    defence::{self, Alert},
};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::json;

use crate::{Identity, IdentityError, Mail, defence::ALERTS_FOR_EACH_ANSWER};

/// What a rule of the operator's own found.
#[derive(Debug, Clone)]
pub struct RuleAlert {
    /// Its id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// What it found, in a sentence. Nothing personal is in it.
    pub description: String,
    /// The MITRE ATT&CK technique, if it has one.
    pub technique: String,
    /// `severity_id` of OCSF.
    pub severity: u32,
    /// When the first event of it came.
    pub first_seen: Timestamp,
    /// The events that led to it.
    pub evidence: Vec<Id<tags::Event>>,
    /// The accounts that it is about.
    pub accounts: Vec<Id<tags::User>>,
    /// The address it is about, if it is not about an account.
    pub source: Option<IpAddr>,
}

/// What an alert is raised on.
pub(crate) struct Grounds<'a> {
    pub rule: Cow<'static, str>,
    pub attack: (Cow<'static, str>, &'static str),
    pub first_seen: Timestamp,
    pub evidence: &'a [Id<tags::Event>],
    pub accounts: &'a [Id<tags::User>],
    pub source: Option<IpAddr>,
}

/// Alert mails in a minute: an attack on many accounts must not fill a mailbox, and who reads ten
/// knows where to look.
const MOST_MAILS: u32 = 10;
/// `severity_id` of OCSF.
const CRITICAL: u32 = 5;

/// Who is told of alerts by mail.
#[derive(Debug, Clone, Default)]
pub struct AlertMail {
    /// The addresses.
    pub to: Vec<String>,
    /// From this `severity_id` of OCSF on.
    pub severity: u32,
}

impl Identity {
    /// Raises an alert and does nothing else. `None` where too many were raised in this minute, of
    /// which `most_per_minute` is a tenth.
    pub async fn raise_alert(
        &self,
        told: &RuleAlert,
        most_per_minute: u32,
        mail: &AlertMail,
    ) -> Result<Option<Id<tags::Alert>>, IdentityError> {
        let now = self.now();
        let most = most_per_minute.saturating_mul(ALERTS_FOR_EACH_ANSWER);
        if !self.is_within(b"rule_alerts", most, now) {
            return Ok(None);
        }
        let ids = |ids: Vec<String>| json!(ids).to_string();
        let place = told.source.map(|ip| format!(" from {ip}")).unwrap_or_default();
        let alert = &Alert {
            id: Id::new(now, &*self.entropy),
            rule: told.rule.clone(),
            title: format!("{}{place}", told.title),
            description: told.description.clone(),
            addr: told.source.map(|ip| ip.to_string()),
            accounts: ids(told.accounts.iter().map(Id::to_string).collect()),
            evidence: ids(told.evidence.iter().map(Id::to_string).collect()),
            block_id: None,
            severity: i64::from(told.severity),
            technique: told.technique.clone(),
            answer: "alert".into(),
            created_at: now,
            acknowledged_at: None,
            acknowledged_by: None,
        };
        let mail_to = self.mail_to(alert, mail);
        let grounds = &Grounds {
            rule: told.rule.clone().into(),
            attack: (told.technique.clone().into(), ""),
            first_seen: told.first_seen,
            evidence: &told.evidence,
            accounts: &told.accounts,
            source: told.source,
        };
        self.db
            .write(|tx| async move { self.store_alert(&tx, alert, grounds, mail_to).await })
            .await?;
        Ok(Some(alert.id))
    }

    /// An alert, its event, and the mails that tell of it: all or nothing.
    pub(crate) async fn store_alert(
        &self,
        tx: &Tx,
        alert: &Alert,
        grounds: &Grounds<'_>,
        mail_to: &[String],
    ) -> Result<(), IdentityError> {
        defence::insert_alert(tx, &self.tenant, alert).await?;
        tx.emit(self.alert_event(alert, grounds)).await?;
        for to in mail_to {
            let mail = self.alert_mail(alert, to.clone());
            let now = alert.created_at;
            mail.queue(tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
        }
        Ok(())
    }

    /// Who is told of an alert by mail. It counts, so it is asked once and not in a transaction that
    /// is tried again.
    pub(crate) fn mail_to<'a>(&self, alert: &Alert, mail: &'a AlertMail) -> &'a [String] {
        let severity = u32::try_from(alert.severity).unwrap_or_default();
        if mail.to.is_empty() || severity < mail.severity {
            return &[];
        }
        // What somebody can cause at will must not hide what is worst.
        let budget: &[u8] = if severity >= CRITICAL { b"critical_mails" } else { b"alert_mails" };
        if self.is_within(budget, MOST_MAILS, alert.created_at) { &mail.to } else { &[] }
    }

    /// What the list of alerts says; nothing by which somebody is known.
    fn alert_mail(&self, alert: &Alert, to: String) -> Mail {
        let severity = match alert.severity {
            ..=2 => "low",
            3 => "medium",
            4 => "high",
            _ => "critical",
        };
        let done = match alert.answer.as_str() {
            "alert" => "Nothing but this alert.",
            "block" => "The network is blocked for a while.",
            "step_up" => "For a while a password alone is not enough there, or for the account.",
            "end_sessions" => "The account's sessions have ended, and it must prove more.",
            "delay" => "Logins from the network are slow for a while.",
            _ => "Nothing: answers are held back.",
        };
        let Alert { title, description, technique, rule, id, .. } = alert;
        let technique = if technique.is_empty() { "-" } else { technique };
        let text = format!(
            "{description}\n\nSeverity: {severity}\nWhat was done: {done}\nRule: {rule}\nATT&CK: \
             {technique}\nTime: {}\nAlert: {}/api/admin/v1/alerts (id {id})\n",
            alert.created_at.to_rfc3339(),
            self.issuer
        );
        Mail { to, subject: format!("[{severity}] {title}"), text }
    }

    /// The event of an alert.
    pub(crate) fn alert_event(&self, alert: &Alert, grounds: &Grounds<'_>) -> Event {
        let raised = AlertRaised {
            alert: alert.id.to_string(),
            rule: grounds.rule.clone(),
            title: alert.title.clone(),
            description: alert.description.clone(),
            attack: grounds.attack.clone(),
            severity: u32::try_from(alert.severity).unwrap_or_default(),
            answer: alert.answer.clone(),
            first_seen: grounds.first_seen,
            evidence: grounds.evidence.iter().map(Id::to_string).collect(),
            accounts: grounds.accounts.iter().map(Id::to_string).collect(),
        };
        let origin = grounds.source.map(|ip| Origin { addr: ip.into(), ..Origin::default() });
        Event { origin, ..self.system_event(Kind::Alert(raised)) }
    }
}
