//! The catalogue: every detector's name, its ATT&CK technique, its thresholds and their defaults.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// How far a rule may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does not look.
    Off,
    /// It raises alerts, and changes nothing.
    Observe,
    /// It raises alerts and answers the attack.
    #[default]
    Respond,
}

/// What is done about a finding, beside the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: somebody should look.
    Alert,
    /// Attempts to log in from the address wait.
    Delay,
    /// The address stays out for a while. One that many people share must prove more instead.
    Block,
    /// The accounts are flagged for review, and a login needs more than a password.
    StepUp,
    /// The same, and every session of the account ends.
    EndSessions,
}

/// How bad it is, in the words of OCSF (`severity_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Should be looked at.
    Medium,
    /// An attack that goes on.
    High,
    /// An attack that succeeded, or may have.
    Critical,
}

impl Severity {
    /// `severity_id` of OCSF.
    pub fn ocsf(self) -> u32 {
        self as u32 + 2
    }
}

/// A detector, as the documentation, alerts and the configuration name it.
#[derive(Debug)]
pub struct Rule {
    /// Its name, such as `password_spray`.
    pub id: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// Technique and name in MITRE ATT&CK.
    pub attack: (&'static str, &'static str),
    /// How bad what it finds is.
    pub severity: Severity,
    /// What is done about it.
    pub answer: Answer,
    /// What it looks for.
    pub about: &'static str,
}

/// A threshold: so many of something, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "usize")]
pub struct Count(pub usize);

impl TryFrom<usize> for Count {
    type Error = &'static str;

    fn try_from(count: usize) -> Result<Self, Self::Error> {
        if count > 0 { Ok(Self(count)) } else { Err("a threshold must be at least 1") }
    }
}

/// A length of time, such as `15min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Span(
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(with = "String", regex(pattern = "^[0-9]+(ms|s|min|h|d)$"))]
    pub Duration,
);

impl Span {
    const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

macro_rules! rules {
    ($(#[doc = $about:literal] $name:ident $module:ident $title:literal
        ($technique:literal, $called:literal) $severity:ident $answer:ident {
        $(#[doc = $field_about:literal] $field:ident: $kind:ident = $value:expr,)*
    })+) => {
        $(
            #[doc = $about]
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields, default)]
            pub struct $name {
                /// `off`, `observe` or `respond`.
                pub mode: Mode,
                $(#[doc = $field_about] pub $field: $kind,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    Self { mode: Mode::default(), $($field: $value,)* }
                }
            }

            impl $name {
                /// The rule.
                pub const RULE: Rule = Rule {
                    id: stringify!($module),
                    title: $title,
                    attack: ($technique, $called),
                    severity: Severity::$severity,
                    answer: Answer::$answer,
                    about: $about,
                };
            }
        )+

        /// How every detector is set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Rules {
            $(#[doc = $about] pub $module: $name,)+
        }

        impl Rules {
            /// Every rule there is.
            pub const ALL: &'static [&'static Rule] = &[$(&$name::RULE,)+];

            /// How far the rule called `id` may go.
            pub fn mode(&self, id: &str) -> Mode {
                match id {
                    $(stringify!($module) => self.$module.mode,)+
                    _ => Mode::Off,
                }
            }
        }
    };
}

rules! {
    /// One address fails on many accounts, with few passwords.
    PasswordSpray password_spray "Password spraying" ("T1110.003", "Password Spraying") High Block {
        /// So many accounts …
        fast_accounts: Count = Count(5),
        /// … in this time. It fires within the allowance of five attempts a minute.
        fast_window: Span = Span::secs(60),
        /// So many accounts …
        slow_accounts: Count = Count(10),
        /// … in this longer time.
        slow_window: Span = Span::secs(3_600),
        /// So many accounts with one and the same password …
        same_password_accounts: Count = Count(4),
        /// … in this time. The strongest sign: people mistype their own passwords, not each other's.
        same_password_window: Span = Span::secs(600),
    }
    /// One address fails on many accounts, each with a password of its own: a list from a leak.
    CredentialStuffing credential_stuffing "Credential stuffing" ("T1110.004", "Credential Stuffing") High Block {
        /// So many accounts …
        fast_accounts: Count = Count(5),
        /// … in this time.
        fast_window: Span = Span::secs(60),
        /// So many accounts …
        slow_accounts: Count = Count(10),
        /// … in this longer time.
        slow_window: Span = Span::secs(3_600),
    }
    /// One address fails on some accounts: not yet an attack, and more than a person does.
    FailedLogins failed_logins "Failed logins on several accounts" ("T1110", "Brute Force") Low Delay {
        /// So many accounts …
        accounts: Count = Count(3),
        /// … in this time.
        window: Span = Span::secs(60),
    }
    /// One address tries many passwords on one account.
    BruteForce brute_force "Brute force on one account" ("T1110.001", "Password Guessing") High Block {
        /// So many different passwords …
        passwords: Count = Count(15),
        /// … each within this time of the one before.
        window: Span = Span::secs(3_600),
    }
    /// Many addresses try passwords on one account.
    DistributedBruteForce distributed_brute_force "Brute force on one account from many addresses" ("T1110.001", "Password Guessing") High StepUp {
        /// So many addresses …
        addresses: Count = Count(8),
        /// … with so many attempts …
        attempts: Count = Count(10),
        /// … in this time.
        window: Span = Span::secs(1_800),
    }
    /// One password is tried on many accounts from many addresses.
    DistributedSpray distributed_spray "Password spraying from many addresses" ("T1110.003", "Password Spraying") High Block {
        /// So many accounts …
        accounts: Count = Count(8),
        /// … from so many addresses …
        addresses: Count = Count(5),
        /// … in this time.
        window: Span = Span::secs(900),
    }
    /// Somebody logs in from an address that attacks, or into an account that is under attack.
    SuccessAfterAttack success_after_attack "Login after an attack" ("T1078", "Valid Accounts") Critical EndSessions {
        /// For so long after an attack was found.
        window: Span = Span::secs(3_600),
    }
    /// Somebody logs in from two places between which nobody travels that fast.
    ImpossibleTravel impossible_travel "Impossible travel" ("T1078", "Valid Accounts") High StepUp {
        /// Kilometres an hour.
        speed: Count = Count(900),
        /// Shorter distances, in kilometres, are errors of the map.
        distance: Count = Count(500),
    }
    /// A login from a device, a network and a country that are all new for this person.
    UnusualLogin unusual_login "Unusual login" ("T1078", "Valid Accounts") Medium StepUp {
        /// After so many logins it is known what is usual.
        history: Count = Count(3),
        /// So many times likelier with a stranger than with this person.
        score: Count = Count(32),
    }
    /// Second factors fail again and again: somebody has the password.
    MfaFatigue mfa_fatigue "Second factor under attack" ("T1621", "Multi-Factor Authentication Request Generation") High StepUp {
        /// So many wrong codes …
        failures: Count = Count(5),
        /// … in this time.
        window: Span = Span::secs(600),
    }
    /// A refresh token or code was used twice: one of two holders is a thief.
    TokenReuse token_reuse "Token used twice" ("T1528", "Steal Application Access Token") High Alert {}
    /// Proofs of possession are replayed, or tokens are shown with a key that is not theirs.
    ProofReplay proof_replay "Stolen token or replayed proof" ("T1550.001", "Application Access Token") High Alert {
        /// So many …
        failures: Count = Count(5),
        /// … in this time.
        window: Span = Span::secs(600),
    }
    /// One session is used from two networks with two browsers at once.
    SessionHijack session_hijack "Session in two hands" ("T1539", "Steal Web Session Cookie") High EndSessions {
        /// Both were seen within this time.
        window: Span = Span::secs(1_800),
    }
    /// One account gets tokens for many applications at once.
    RapidAppAccess rapid_app_access "Many applications at once" ("T1087", "Account Discovery") Medium StepUp {
        /// So many applications …
        applications: Count = Count(10),
        /// … in this time.
        window: Span = Span::secs(60),
    }
    /// Somebody asks for many objects that are not theirs or not there.
    ObjectEnumeration object_enumeration "Enumeration of objects" ("T1087", "Account Discovery") High EndSessions {
        /// So many different objects were refused or missing …
        objects: Count = Count(20),
        /// … in this time.
        window: Span = Span::secs(60),
    }
    /// Somebody reads far more than others or than usual.
    Exfiltration exfiltration "Unusual amount of data" ("T1530", "Data from Cloud Storage") High Alert {
        /// So many different objects of one route …
        objects: Count = Count(300),
        /// … or so many bytes …
        bytes: Count = Count(256 * 1_048_576),
        /// … in this time.
        window: Span = Span::secs(600),
    }
    /// A route answers with errors far more often than it does at other times.
    ErrorSpike error_spike "More errors than usual" ("T1499", "Endpoint Denial of Service") Medium Alert {
        /// With fewer requests in a minute nothing is said.
        requests: Count = Count(50),
        /// So many standard deviations above what is usual.
        deviations: Count = Count(6),
    }
    /// A route, client or tenant has far more or less to do than at this hour of other weeks.
    UnusualVolume unusual_volume "Unusual amount of traffic" ("T1499", "Endpoint Denial of Service") Low Alert {
        /// Where fewer come in five minutes, and fewer are usual, nothing is said.
        requests: Count = Count(100),
        /// So many standard deviations from what is usual.
        deviations: Count = Count(6),
    }
    /// Far more of what a route, client or tenant does fails or is refused than at this hour of other weeks.
    UnusualFailures unusual_failures "Unusual share of failures" ("T1110", "Brute Force") Medium Alert {
        /// With fewer in five minutes nothing is said.
        requests: Count = Count(100),
        /// So many standard deviations above what is usual.
        deviations: Count = Count(6),
    }
    /// A route answers far slower than at this hour of other weeks.
    UnusualLatency unusual_latency "Unusually slow answers" ("T1499", "Endpoint Denial of Service") Low Alert {
        /// With fewer requests in five minutes nothing is said.
        requests: Count = Count(100),
        /// So many standard deviations above what is usual.
        deviations: Count = Count(6),
    }
    /// What protects the installation was weakened or changed hands.
    AdminTampering admin_tampering "Protection changed" ("T1562", "Impair Defenses") High Alert {}
    /// Many accounts are opened, or many names asked about, from one place.
    SignupAbuse signup_abuse "Many registrations from one place" ("T1136", "Create Account") Medium Block {
        /// So many registrations or reset requests for different people …
        accounts: Count = Count(10),
        /// … in this time.
        window: Span = Span::secs(3_600),
    }
    /// Second factors of many accounts are set up from one place with one browser.
    EnrolmentFarming enrolment_farming "Second factors of many accounts from one place" ("T1098.005", "Device Registration") High Alert {
        /// So many accounts …
        accounts: Count = Count(4),
        /// … in this time.
        window: Span = Span::secs(3_600),
    }
}

impl Rules {
    /// Refuses thresholds that no table can reach: which rule, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        use crate::detect::{accounts, addresses, objects, passwords, tallies};
        let spray = [
            self.password_spray.fast_accounts,
            self.password_spray.slow_accounts,
            self.password_spray.same_password_accounts,
        ];
        let stuffing =
            [self.credential_stuffing.fast_accounts, self.credential_stuffing.slow_accounts];
        let brute = self.distributed_brute_force;
        let distributed = self.distributed_spray;
        let limits: [(&Rule, &[Count], usize); 10] = [
            (&FailedLogins::RULE, &[self.failed_logins.accounts], addresses::ACCOUNTS),
            (&PasswordSpray::RULE, &spray, addresses::ACCOUNTS),
            (&CredentialStuffing::RULE, &stuffing, addresses::ACCOUNTS),
            (&DistributedBruteForce::RULE, &[brute.addresses], accounts::ADDRESSES),
            (
                &DistributedSpray::RULE,
                &[distributed.accounts, distributed.addresses],
                passwords::ACCOUNTS,
            ),
            (&RapidAppAccess::RULE, &[self.rapid_app_access.applications], accounts::APPLICATIONS),
            (&ObjectEnumeration::RULE, &[self.object_enumeration.objects], objects::OBJECTS),
            (&Exfiltration::RULE, &[self.exfiltration.objects], objects::READS),
            (&SignupAbuse::RULE, &[self.signup_abuse.accounts], tallies::PEOPLE),
            (&EnrolmentFarming::RULE, &[self.enrolment_farming.accounts], tallies::PEOPLE),
        ];
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let windows: [(&Rule, Span, Duration); 4] = [
            (&MfaFatigue::RULE, self.mfa_fatigue.window, minutes(16)),
            (&DistributedBruteForce::RULE, brute.window, minutes(60)),
            (&ProofReplay::RULE, self.proof_replay.window, minutes(60)),
            (&Exfiltration::RULE, self.exfiltration.window, minutes(60)),
        ];
        for (rule, window, most) in windows {
            if window.0 > most {
                let most = most.as_secs() / 60;
                return Err((rule.id, format!("a window is at most {most} minutes here")));
            }
        }
        for (rule, counts, most) in limits {
            if let Some(count) = counts.iter().find(|count| count.0 > most) {
                return Err((
                    rule.id,
                    format!(
                        "a threshold of {} is more than the {most} that are remembered",
                        count.0
                    ),
                ));
            }
        }
        Ok(())
    }
}
