//! Signals about one thing, outside of any session: an address of a line, an address of mail, a number. The same is
//! looked at as in a session, and nothing of it is kept but that it was.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

use portcullis_events::{Actor, Check, Kind, Origin};
use portcullis_phone::{Phone, PhoneKind};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus, Reason, Value, Values, Weight};
use serde_json::Value as Json;

use super::{ListKind, SessionError, Sessions, seen};
use crate::CheckError;

/// Addresses that are read by whoever has a task, and by nobody in particular.
const ROLES: [&str; 20] = [
    "abuse",
    "accounts",
    "admin",
    "billing",
    "contact",
    "hello",
    "help",
    "hostmaster",
    "hr",
    "info",
    "jobs",
    "mail",
    "marketing",
    "no-reply",
    "noreply",
    "office",
    "postmaster",
    "sales",
    "support",
    "webmaster",
];

/// Whether a domain takes mail (RFC 5321, section 5.1, and RFC 7505); nothing where that cannot be found out.
pub type MailHosts =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<bool>> + Send>> + Send + Sync>;

/// What is asked about.
#[derive(Debug, Clone)]
pub enum SignalAsked {
    /// An address of a line.
    Ip(IpAddr),
    /// An address of mail.
    Email(String),
    /// A number, and in which country it is dialled like that.
    Phone(String, Option<String>),
}

/// What is known of it.
#[derive(Debug, Clone)]
pub struct SignalReport {
    /// It.
    pub id: Id<tags::Check>,
    /// `ip`, `email` or `phone`
    pub check: &'static str,
    /// What it comes to.
    pub status: CheckStatus,
    /// Why.
    pub reasons: Vec<(&'static str, Weight)>,
    /// What was found.
    pub values: Values,
    /// What was looked at beside it; `null` if nothing.
    pub detail: Json,
    /// Keyed digest of what was asked about.
    pub inputs_hash: String,
    /// When.
    pub at: Timestamp,
}

/// What was found, by whichever check.
#[derive(Default)]
struct Found {
    reasons: Vec<(&'static str, Weight)>,
    values: Values,
    detail: Json,
    /// Where it does not follow from the reasons.
    status: Option<CheckStatus>,
}

impl Sessions {
    /// Looks at one thing. The report is in the audit log before anybody sees it, without what it is about.
    pub async fn look_alone(
        &self,
        asked: &SignalAsked,
        (by, origin): (&Actor, &Origin),
    ) -> Result<SignalReport, SessionError> {
        let (check, what, found) = match asked {
            SignalAsked::Ip(ip) => ("ip", ip.to_string(), self.of_line(*ip)),
            SignalAsked::Email(text) => {
                let address = ListKind::Email.normal(text);
                let invalid = |must: &str| SessionError::Invalid("email", must.to_owned());
                let address = address.map_err(invalid)?;
                let found = self.of_mail(&address).await;
                ("email", address, found)
            }
            SignalAsked::Phone(text, home) => {
                let phone = Phone::read(text, home.as_deref());
                let invalid = |error| SessionError::Invalid("number", format!("{error}"));
                let phone = phone.map_err(invalid)?;
                ("phone", phone.number.clone(), of_phone(&phone))
            }
        };
        let gravest = found.reasons.iter().map(|(_, weight)| *weight).max();
        let status = found.status.unwrap_or(match gravest {
            Some(Weight::Failure) => CheckStatus::Failed,
            Some(Weight::Doubt) => CheckStatus::Review,
            Some(Weight::Information) | None => CheckStatus::Passed,
        });
        let at = self.now();
        let report = SignalReport {
            id: Id::new(at, &*self.entropy),
            check,
            status,
            reasons: found.reasons,
            values: found.values,
            detail: found.detail,
            inputs_hash: self.hex_digest(&[b"signal_asked", check.as_bytes(), what.as_bytes()]),
            at,
        };
        let told = Check {
            report: report.id.to_string(),
            check,
            status: status.as_str(),
            assurance: Assurance::Heuristic.as_str(),
            codes: report.reasons.iter().map(|(code, _)| *code).collect(),
            inputs_hash: report.inputs_hash.clone(),
            trust: None,
        };
        let event = self.event(by, Some(origin), Kind::Check(told));
        let recorded = self.checks.sink.committed(&[event]).await;
        recorded.map_err(|()| SessionError::Check(CheckError::NotRecorded))?;
        Ok(report)
    }

    fn of_line(&self, ip: IpAddr) -> Found {
        let (sources, facts) = (self.addresses)(&[ip]);
        if sources.built.is_empty() {
            return Found {
                reasons: vec![("no_maps", Weight::Information)],
                status: Some(CheckStatus::NotPerformed),
                ..Found::default()
            };
        }
        let found: Vec<_> = facts.into_iter().map(|facts| ((ip, "caller"), facts)).collect();
        let id = Id::new(self.now(), &*self.entropy);
        let report = seen::report(id, &sources, &found, &std::collections::BTreeSet::new());
        let view = &report.detail["view"];
        Found {
            reasons: report.reasons.iter().filter_map(seen::word).collect(),
            detail: serde_json::json!({ "addresses": view["addresses"], "sources": view["sources"] }),
            values: report.values,
            status: Some(report.status),
        }
    }

    async fn of_mail(&self, address: &str) -> Found {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let mut values = self.of_address(address);
        let plain = local.split('+').next().unwrap_or(local);
        let is_role = ROLES.binary_search(&plain).is_ok();
        values.insert("is_role".to_owned(), Value::Flag(is_role));
        let takes_mail = self.takes_mail(domain).await;
        values.extend(takes_mail.map(|flag| ("accepts_mail".to_owned(), Value::Flag(flag))));
        let is_disposable = values.get("is_disposable") == Some(&Value::Flag(true));
        let reasons = [
            (takes_mail == Some(false)).then_some(("domain_takes_no_mail", Weight::Failure)),
            is_disposable.then_some(("address_disposable", Weight::Doubt)),
            is_role.then_some(("address_of_role", Weight::Information)),
        ];
        Found { reasons: reasons.into_iter().flatten().collect(), values, ..Found::default() }
    }

    /// Whether a domain takes mail, if somebody may be asked.
    async fn takes_mail(&self, domain: &str) -> Option<bool> {
        match &self.mail_hosts {
            Some(hosts) => hosts(domain.to_owned()).await,
            None => None,
        }
    }

    /// Whether nothing can be sent to an address.
    pub(super) async fn is_nowhere(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        self.takes_mail(domain).await == Some(false)
    }
}

fn of_phone(phone: &Phone) -> Found {
    use PhoneKind::{Pager, PremiumRate, SharedCost, TollFree, Uan, Voicemail};
    let shared =
        matches!(phone.kind, Pager | PremiumRate | SharedCost | TollFree | Uan | Voicemail);
    let reasons = [
        shared.then_some(("number_of_nobody", Weight::Doubt)),
        (phone.kind == PhoneKind::Voip).then_some(("number_voip", Weight::Information)),
    ];
    let region = phone.region.clone().map(|region| ("country".to_owned(), Value::Text(region)));
    let all = [
        ("number".to_owned(), Value::Text(phone.number.clone())),
        ("kind".to_owned(), Value::Text(phone.kind.as_str().to_owned())),
        ("takes_texts".to_owned(), Value::Flag(phone.kind.takes_texts())),
    ];
    Found {
        reasons: reasons.into_iter().flatten().collect(),
        values: all.into_iter().chain(region).collect(),
        ..Found::default()
    }
}

/// A reason of a report as it stands in the code.
pub(super) fn static_reason(
    words: &[&'static str],
    reason: &Reason,
) -> Option<(&'static str, Weight)> {
    let word = words.iter().find(|word| **word == reason.code)?;
    Some((word, reason.severity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_can_be_searched() {
        assert!(ROLES.is_sorted());
    }
}
