//! Controls that this installation can tell about itself. What it cannot see, such as contracts and doors of
//! buildings, is not here.

use std::time::Duration;

use portcullis_api::{ControlView, ControlsView, FactView};
use portcullis_store::compliance::{self, Facts};
use portcullis_threat::Mode;
use portcullis_types::DEFAULT_TENANT;

use crate::{
    app::App,
    config::{Authenticate, Config, KeyEncryption},
};

/// The least that OWASP asks of argon2id: 19 MiB and two passes, or 46 MiB and one.
const MEMORY_KIB: u32 = 19 * 1_024;
/// Fewer administrators cannot stand in for each other; more are hard to review.
const ADMINS: std::ops::RangeInclusive<i64> = 2..=10;

/// Looks at each.
pub async fn look(app: &App) -> Option<ControlsView> {
    let now = app.clock.now();
    let facts = compliance::facts(&app.identity.db, DEFAULT_TENANT, now).await;
    let facts = facts.inspect_err(|error| tracing::error!(%error, "controls")).ok()?;
    let gate = app.gate.load();
    let config = &gate.config;
    let mut controls = vec![passwords(config, &facts)];
    controls.extend(access(&facts));
    controls.push(requests(&facts));
    controls.extend([routes(config), keys(config), boundary(config), alerts(&facts)]);
    controls.extend([log(app, config), copies(config), change(app), erasure(config)]);
    Some(ControlsView { checked_at: now.to_rfc3339(), controls })
}

/// When the log no longer tells who it was, of accounts and of others.
pub fn log_keeps(config: &Config) -> (String, String) {
    let account = match config.audit.personal {
        Some(span) => {
            format!("{} after the month it is from, or the account is removed", days(span))
        }
        None => "the account is removed".to_owned(),
    };
    (
        account,
        config.audit.entries.map_or("never".to_owned(), |span| format!("after {}", days(span))),
    )
}

struct Control {
    id: &'static str,
    title: &'static str,
    soc2: &'static [&'static str],
    iso27001: &'static [&'static str],
    events: &'static str,
}

impl Control {
    fn is(self, met: bool, said: impl Into<String>, facts: &[(&str, String)]) -> ControlView {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        ControlView {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            soc2: texts(self.soc2),
            iso27001: texts(self.iso27001),
            status: if met { "met" } else { "attention" }.to_owned(),
            said: said.into(),
            facts: facts
                .iter()
                .map(|(name, value)| FactView { name: (*name).to_owned(), value: value.clone() })
                .collect(),
            events: self.events.to_owned(),
        }
    }
}

fn passwords(config: &Config, facts: &Facts) -> ControlView {
    let (memory, passes) = (config.passwords.memory_kib, config.passwords.passes);
    let enough = memory >= MEMORY_KIB && passes >= 2 || memory >= 46 * 1_024;
    let said = if facts.foreign_hashes > 0 {
        "Some passwords were imported with another hash, and stay so until their owner logs in."
    } else if enough {
        "Passwords are stored as argon2id hashes; new ones are as costly as OWASP asks for."
    } else {
        "Hashes of passwords are cheaper to guess than OWASP asks for: raise passwords.memory_kib."
    };
    Control {
        id: "authentication.passwords",
        title: "Passwords are stored so that a stolen database does not tell them",
        soc2: &["CC6.1"],
        iso27001: &["A.5.17"],
        events: "user_password",
    }
    .is(
        enough && facts.foreign_hashes == 0,
        said,
        &[
            ("imported hashes", facts.foreign_hashes.to_string()),
            ("memory", format!("{memory} KiB")),
            ("passes", passes.to_string()),
        ],
    )
}

fn access(facts: &Facts) -> [ControlView; 3] {
    let without = facts.staff - facts.staff_with_factor;
    let factors = Control {
        id: "authentication.staff",
        title: "Whoever has a role has a second factor",
        soc2: &["CC6.1"],
        iso27001: &["A.8.5"],
        events: "user_",
    }
    .is(
        without == 0,
        match without {
            0 => "Everybody with a role has an app or a passkey.".to_owned(),
            some => format!("Accounts with a role and neither an app nor a passkey: {some}."),
        },
        &[
            ("accounts with a role", facts.staff.to_string()),
            ("with an app or a passkey", facts.staff_with_factor.to_string()),
        ],
    );
    let said = if facts.admins < *ADMINS.start() {
        "Nobody could stand in for the only administrator."
    } else if facts.admins > *ADMINS.end() {
        "There are more administrators than somebody can keep an eye on."
    } else {
        "There are few administrators, and more than one."
    };
    let privileged = Control {
        id: "access.privileged",
        title: "Few people administrate",
        soc2: &["CC6.3"],
        iso27001: &["A.8.2"],
        events: "admin_user",
    }
    .is(ADMINS.contains(&facts.admins), said, &[("administrators", facts.admins.to_string())]);
    let long = facts.keys_without_end + facts.keys_old;
    let keys = Control {
        id: "access.keys",
        title: "Credentials of programs end",
        soc2: &["CC6.1", "CC6.2"],
        iso27001: &["A.5.18"],
        events: "admin_api_key",
    }
    .is(
        long == 0,
        if long == 0 {
            "Every API key ends, and none is older than a year.".to_owned()
        } else {
            format!(
                "API keys without an end: {}; older than a year: {}.",
                facts.keys_without_end, facts.keys_old
            )
        },
        &[
            ("keys", facts.keys.to_string()),
            ("without an end", facts.keys_without_end.to_string()),
            ("older than a year", facts.keys_old.to_string()),
        ],
    );
    [factors, privileged, keys]
}

fn routes(config: &Config) -> ControlView {
    let open: Vec<&str> = config
        .routes
        .iter()
        .filter(|route| route.authenticate.contains(&Authenticate::None))
        .map(|route| route.name.as_str())
        .collect();
    let said = if open.is_empty() {
        "Every service behind the gate asks who is calling.".to_owned()
    } else {
        format!("These routes let anybody in; each should be meant so: {}.", open.join(", "))
    };
    Control {
        id: "access.routes",
        title: "Services are reached by whoever may, and by nobody else",
        soc2: &["CC6.1", "CC6.6"],
        iso27001: &["A.5.15", "A.8.20"],
        events: "gate_denied",
    }
    .is(
        open.is_empty(),
        said,
        &[
            ("routes of the file", config.routes.len().to_string()),
            ("open to anybody", open.len().to_string()),
            ("policies", if config.policy.is_some() { "yes" } else { "no" }.to_owned()),
        ],
    )
}

fn keys(config: &Config) -> ControlView {
    let (elsewhere, place) = match &config.key_encryption {
        KeyEncryption::Local { .. } => (false, "a file or variable of this machine"),
        KeyEncryption::Transit { .. } => (true, "Vault or OpenBao (transit)"),
        KeyEncryption::Pkcs11 { .. } => (true, "a token behind PKCS#11"),
    };
    let said = if elsewhere {
        "The key that seals all others is kept outside of this machine's files."
    } else {
        "The key that seals all others lies with the machine: whoever copies the whole machine has it."
    };
    Control {
        id: "cryptography.keys",
        title: "Keys follow each other, and the one above all is kept apart",
        soc2: &["CC6.1"],
        iso27001: &["A.8.24"],
        events: "admin_signing_key",
    }
    .is(
        elsewhere,
        said,
        &[
            ("a key signs for", days(config.keys.signs_for)),
            ("the key above all is in", place.to_owned()),
        ],
    )
}

fn boundary(config: &Config) -> ControlView {
    let mode = config.detect.mode;
    let unlimited = config.protect.get("login").is_some_and(|protect| protect.limits.is_empty());
    let said = match (mode, unlimited) {
        (Mode::Off, _) => "Detection is off.",
        (Mode::Observe, _) => "Attacks are told of, and not answered: detect.mode is observe.",
        (Mode::Respond, true) => "Attempts to log in have no limit.",
        (Mode::Respond, false) => "Attempts are limited, and attacks are answered by themselves.",
    };
    Control {
        id: "monitoring.detection",
        title: "Attacks are found and answered",
        soc2: &["CC6.6", "CC7.2", "CC7.4"],
        iso27001: &["A.8.16", "A.5.26"],
        events: "block_",
    }
    .is(
        mode == Mode::Respond && !unlimited,
        said,
        &[("mode", format!("{mode:?}").to_lowercase())],
    )
}

fn requests(facts: &Facts) -> ControlView {
    let (late, closed_late) = (facts.requests_late, facts.requests_closed_late);
    let said = match (late, closed_late) {
        (0, 0) => {
            "No request of a data subject that was written down here waits for longer than it may."
                .to_owned()
        }
        (0, closed) => format!("Requests that were closed after their deadline: {closed}."),
        (late, _) => format!("Requests whose deadline is over: {late}."),
    };
    Control {
        id: "privacy.requests",
        title: "Requests of data subjects are answered in time",
        soc2: &["P5.1", "P5.2"],
        iso27001: &["A.5.34"],
        events: "admin_subject_request",
    }
    .is(
        late == 0 && closed_late == 0,
        said,
        &[
            ("open requests", facts.requests.to_string()),
            ("overdue", late.to_string()),
            ("closed too late", closed_late.to_string()),
        ],
    )
}

fn alerts(facts: &Facts) -> ControlView {
    let said = match facts.alerts_late {
        0 => "Every finding of high severity of 30 days was noted within a day.".to_owned(),
        late => {
            format!("Findings of high severity of 30 days that nobody noted within a day: {late}.")
        }
    };
    Control {
        id: "incidents.noted",
        title: "Somebody takes note of what was found",
        soc2: &["CC7.3", "CC7.4"],
        iso27001: &["A.5.25", "A.5.26"],
        events: "admin_alert",
    }
    .is(
        facts.alerts_late == 0,
        said,
        &[
            ("findings of 30 days", facts.alerts.to_string()),
            ("accounts to review", facts.flagged.to_string()),
        ],
    )
}

fn log(app: &App, config: &Config) -> ControlView {
    let healthy = app.audit.is_healthy();
    let said = if healthy {
        "What happens is recorded in a Merkle log, losses included; each entry has a proof that anybody can check."
    } else {
        "The audit log cannot be written."
    };
    Control {
        id: "logging.record",
        title: "What happens is recorded, and nobody rewrites it unnoticed",
        soc2: &["CC7.2"],
        iso27001: &["A.8.15", "A.5.28", "A.5.33"],
        events: "sys_",
    }
    .is(
        healthy,
        said,
        &[("entries are kept for", config.audit.entries.map_or("ever".into(), days))],
    )
}

fn copies(config: &Config) -> ControlView {
    // One that gets only some kinds is no copy.
    let whole = config.sinks.iter().filter(|sink| sink.kinds.is_empty());
    let names: Vec<&str> = whole.map(|sink| sink.name.as_str()).collect();
    let said = if names.is_empty() {
        "The record is on this machine alone: add a [[sink]]."
    } else {
        "The record goes to somebody else as well."
    };
    Control {
        id: "logging.copies",
        title: "The record outlives this machine",
        soc2: &["CC7.2", "A1.2"],
        iso27001: &["A.8.15", "A.8.13"],
        events: "sys_",
    }
    .is(!names.is_empty(), said, &[("sinks", names.join(", "))])
}

fn change(app: &App) -> ControlView {
    let status = app.reload.status();
    let said = match &status.error {
        None => {
            "The configuration in force is the one of the file, and changes of administrators are in the log."
        }
        Some(_) => "A newer configuration was refused, and the one before is in force.",
    };
    Control {
        id: "change.configuration",
        title: "Changes are checked before they count, and recorded",
        soc2: &["CC8.1"],
        iso27001: &["A.8.32", "A.8.9"],
        events: "admin_",
    }
    .is(status.error.is_none(), said, &[("read at", status.loaded_at)])
}

fn erasure(config: &Config) -> ControlView {
    let (of_accounts, of_others) = log_keeps(config);
    let ends = config.audit.personal.is_some() && config.audit.entries.is_some();
    let said = if ends {
        "What is personal goes by itself, in the log as well."
    } else {
        "The log tells of people for longer than it has to: set audit.keep_personal and audit.keep_entries."
    };
    Control {
        id: "data.erasure",
        title: "Personal data goes when it is not needed any more",
        soc2: &["C1.2", "P4.3"],
        iso27001: &["A.8.10"],
        events: "sys_month_erased",
    }
    .is(
        ends,
        said,
        &[("of accounts, until", of_accounts), ("of nobody known, until", of_others)],
    )
}

fn days(span: Duration) -> String {
    let hours = span.as_secs() / 3_600;
    if hours >= 48 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}
