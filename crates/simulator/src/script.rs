//! What happens, in the order of time: events with the truth about each.

use std::{net::IpAddr, time::Duration};

use portcullis_events::{
    AccountChange, Actor, AdminChange, Event, Kind, LoginAttempt, Origin, Outcome, RequestSeen,
    Stage, TokenOperation,
};
use portcullis_types::{ClientAddr, Id, Timestamp, tags};

/// When every simulation begins: 2026-06-01T00:00:00Z, a Monday.
pub const START: Timestamp = Timestamp::from_secs(1_780_272_000);

/// What an event really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// Somebody who may.
    Good,
    /// Part of the attack with this number.
    Attack(usize),
}

/// An event, when it arrives, and what it is.
#[derive(Debug)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// And really.
    pub truth: Truth,
}

/// One attack.
#[derive(Debug, Clone)]
pub struct Attack {
    /// The rule that it is for.
    pub rule: &'static str,
    /// Rules that may see it as well, or first.
    pub also: &'static [&'static str],
    /// How it goes about it.
    pub about: &'static str,
}

/// Everything that happens.
#[derive(Debug, Default)]
pub struct Script {
    /// In the order of time, once it is [`Script::sorted`].
    pub steps: Vec<Step>,
    /// The attacks, by number.
    pub attacks: Vec<Attack>,
    events: u128,
}

/// From where and with what.
#[derive(Debug, Clone)]
pub struct From {
    /// The address.
    pub ip: IpAddr,
    /// The browser.
    pub agent: String,
}

impl Script {
    /// Another attack; what is its number.
    pub fn attack(
        &mut self,
        rule: &'static str,
        also: &'static [&'static str],
        about: &'static str,
    ) -> Truth {
        self.attacks.push(Attack { rule, also, about });
        Truth::Attack(self.attacks.len() - 1)
    }

    /// Puts everything into the order of time.
    pub fn sorted(mut self) -> Self {
        self.steps.sort_by_key(|step| step.at);
        self
    }

    /// Adds one event, `at` milliseconds after the start.
    pub fn add(
        &mut self,
        at: u64,
        from: &From,
        actor: Actor,
        outcome: Outcome,
        kind: Kind,
        truth: Truth,
    ) {
        self.events += 1;
        let at = START.plus(Duration::from_millis(at));
        let addr = ClientAddr::new(from.ip);
        let origin = Origin::new(addr, format!("req_{}", self.events), Some(from.agent.clone()));
        let event = Event::new(Id::from_bits(self.events), at, Some(origin), actor, outcome, kind);
        self.steps.push(Step { at, event, truth });
    }

    /// An attempt to log in.
    #[expect(clippy::too_many_arguments, reason = "each is one word of the sentence")]
    pub fn login(
        &mut self,
        at: u64,
        from: &From,
        actor: Actor,
        password: u64,
        failed: Option<&'static str>,
        known: bool,
        truth: Truth,
    ) {
        let code = failed == Some("bad_code");
        let attempt = LoginAttempt {
            is_mfa: false,
            delayed: None,
            factor: if code { "totp" } else { "password" },
            door: "login",
            session: failed.is_none().then(|| format!("ses_{}", self.events)),
            password_fingerprint: failed.filter(|_| !code).map(|_| u128::from(password)),
            known_device: failed.is_none().then_some(known),
        };
        let outcome = failed.map_or(Outcome::Success, Outcome::Failure);
        self.add(at, from, actor, outcome, Kind::Login(attempt), truth);
    }

    /// Something done with a token.
    pub fn token(
        &mut self,
        at: u64,
        from: &From,
        actor: Actor,
        (operation, client, grant): (&'static str, &str, &str),
        truth: Truth,
    ) {
        let done = TokenOperation {
            operation,
            client: client.to_owned(),
            grant_type: "refresh_token".into(),
            scope: "openid".into(),
            token_id: None,
            grant: Some(grant.to_owned()),
        };
        let outcome =
            if operation == "reuse" { Outcome::Failure("reused") } else { Outcome::Success };
        self.add(at, from, actor, outcome, Kind::Token(done), truth);
    }

    /// A change of an account.
    pub fn account(
        &mut self,
        at: u64,
        from: &From,
        change: &'static str,
        user: Actor,
        truth: Truth,
    ) {
        let kind = Kind::Account(AccountChange { change, user, provider: None });
        self.add(at, from, Actor::Anonymous, Outcome::Success, kind, truth);
    }

    /// A change by an administrator.
    pub fn admin(
        &mut self,
        at: u64,
        from: &From,
        action: &'static str,
        object_type: &'static str,
        object: String,
        truth: Truth,
    ) {
        let change = AdminChange { action, object_type, object, before: None, after: None };
        self.add(at, from, person(1), Outcome::Success, Kind::Admin(change), truth);
    }

    /// A request at the gate.
    #[expect(clippy::too_many_arguments, reason = "each is one word of the sentence")]
    pub fn request(
        &mut self,
        at: u64,
        from: &From,
        actor: Actor,
        session: Option<&str>,
        (route, path): (&str, String),
        (status, bytes): (u16, u64),
        truth: Truth,
    ) {
        let refused = match status {
            401 => Some((Stage::Authenticate, "invalid_dpop_proof")),
            _ => None,
        };
        let seen = RequestSeen {
            method: "GET".into(),
            path,
            route: Some(route.to_owned()),
            upstream: Some("service".into()),
            status,
            latency: Duration::from_millis(3),
            refused_at: refused.map(|(stage, _)| stage),
            policies: Vec::new(),
            trace: None,
            version: "HTTP/2",
            violations: Vec::new(),
            session: session.map(str::to_owned),
            bytes: Some(bytes),
        };
        let outcome = refused.map_or(Outcome::Success, |(_, reason)| Outcome::Failure(reason));
        self.add(at, from, actor, outcome, Kind::Request(seen), truth);
    }
}

/// The person with this number.
pub fn person(number: u64) -> Actor {
    let id = Id::<tags::User>::from_bits(u128::from(number) + 1);
    Actor::User { id: id.to_string(), username: format!("user{number}") }
}

/// A name that nobody has.
pub fn nobody(number: u64) -> Actor {
    Actor::UnknownUser { pseudonym: format!("{number:032x}") }
}
