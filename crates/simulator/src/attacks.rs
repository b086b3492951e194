//! Everything in the catalogue, as somebody would do it who knows a little.

use portcullis_events::Actor;

use crate::{
    chance::Chance,
    script::{From, Script, Truth, nobody, person},
    world::{World, browser, largest_office, v4, v6},
};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Rules by which an attack on many accounts may be seen.
const MANY: &[&str] = &[
    "password_spray",
    "credential_stuffing",
    "distributed_spray",
    "success_after_attack",
    "distributed_brute_force",
];
const TAKEN: &[&str] =
    &["success_after_attack", "unusual_login", "impossible_travel", "session_hijack"];

/// Adds every attack of the catalogue `times` times, spread over the last day.
pub fn all(world: World, times: u64, chance: &Chance, script: &mut Script) {
    for round in 0..times {
        let begin = || (world.days - 1) * 24 * HOUR + chance.below(20 * HOUR);
        let victim = || chance.below(world.people);
        let mut rig = Rig { script, chance, round, victim: &victim };
        for attack in ATTACKS {
            attack(&mut rig, begin());
        }
    }
}

struct Rig<'a> {
    script: &'a mut Script,
    chance: &'a Chance,
    round: u64,
    victim: &'a dyn Fn() -> u64,
}

type Perform = fn(&mut Rig<'_>, u64);

const ATTACKS: &[Perform] = &[
    spray,
    slow_spray,
    stuffing,
    stuffing_with_a_hit,
    distributed_spray,
    hopping,
    inside_an_office,
    brute_force,
    distributed_brute_force,
    travel,
    takeover,
    second_factor,
    token_reuse,
    hijack,
    replay,
    applications,
    enumeration,
    exfiltration,
    errors,
    tampering,
    sign_ups,
    enrolments,
];

impl Rig<'_> {
    /// An address that nobody else has, in a country far away.
    fn outside(&self, n: u64) -> From {
        let host = 20_000 + self.round * 500 + n;
        From {
            ip: v4(3 + self.round % 5, 29 + (n / 200) % 3, host * 257 % 65_521),
            agent: browser(n * 7 + 5),
        }
    }

    fn account(&self) -> Actor {
        if self.chance.happens(300) { nobody(self.chance.next()) } else { person((self.victim)()) }
    }

    fn fail(&mut self, at: u64, from: &From, actor: Actor, password: u64, truth: Truth) {
        let reason = match actor {
            Actor::UnknownUser { .. } => "unknown_account",
            _ => "bad_password",
        };
        self.script.login(at, from, actor, password, Some(reason), false, truth);
    }
}

fn spray(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("password_spray", MANY, "one address, one password, an account each 4 s");
    let from = rig.outside(1);
    for n in 0..60 {
        let account = rig.account();
        rig.fail(at + n * 4 * SECOND, &from, account, 4_242 + rig.round, truth);
    }
}

fn slow_spray(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "password_spray",
        MANY,
        "one address, three passwords, an account each 5 min",
    );
    let from = rig.outside(2);
    for n in 0..40 {
        let account = rig.account();
        rig.fail(at + n * 5 * MINUTE, &from, account, 4_300 + n % 3, truth);
    }
}

fn stuffing(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "credential_stuffing",
        MANY,
        "one address, a list of names and passwords",
    );
    let from = rig.outside(3);
    for n in 0..80 {
        let account = rig.account();
        let password = rig.chance.next();
        rig.fail(at + n * 3 * SECOND, &from, account, password, truth);
    }
}

fn stuffing_with_a_hit(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("success_after_attack", MANY, "a list of which one entry is right");
    let from = rig.outside(4);
    for n in 0..30 {
        let account = rig.account();
        let password = rig.chance.next();
        rig.fail(at + n * 3 * SECOND, &from, account, password, truth);
    }
    // The block is in the way by now; the next address of the same network is not.
    let next = rig.outside(4);
    let owner = person((rig.victim)());
    rig.script.login(at + 95 * SECOND, &next, owner, 0, None, false, truth);
}

fn distributed_spray(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "distributed_spray",
        MANY,
        "50 addresses, one password, an account each 10 s",
    );
    for n in 0..100 {
        let from = rig.outside(10 + n % 50);
        let account = rig.account();
        rig.fail(at + n * 10 * SECOND, &from, account, 5_000 + rig.round, truth);
    }
}

fn hopping(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("credential_stuffing", MANY, "an IPv6 /48, another /64 for each attempt");
    for n in 0..120 {
        let ip = v6(3 + rig.round % 5, 61_000 + n % 512, rig.chance.next());
        let (account, password) = (rig.account(), rig.chance.next());
        rig.fail(at + n * 2 * SECOND, &From { ip, agent: browser(n) }, account, password, truth);
    }
}

fn inside_an_office(rig: &mut Rig<'_>, _: u64) {
    let truth =
        rig.script.attack("password_spray", MANY, "from inside an office of 500 people who work");
    // One after the other: two at once from one address would be one attack.
    let at = 26 * HOUR + rig.round * 2 * HOUR;
    let from = largest_office();
    for n in 0..60 {
        let account = rig.account();
        rig.fail(at + n * 3 * SECOND, &from, account, 6_000 + rig.round, truth);
    }
}

fn brute_force(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("brute_force", MANY, "one address, one account, a password each 30 s");
    let from = rig.outside(5);
    let victim = person((rig.victim)());
    for n in 0..60 {
        rig.fail(at + n * 30 * SECOND, &from, victim.clone(), 7_000 + n, truth);
    }
}

fn distributed_brute_force(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack("distributed_brute_force", MANY, "40 addresses, one account");
    let victim = person((rig.victim)());
    for n in 0..80 {
        let from = rig.outside(70 + n % 40);
        rig.fail(at + n * 15 * SECOND, &from, victim.clone(), 8_000 + n, truth);
    }
}

fn travel(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "impossible_travel",
        TAKEN,
        "half an hour after the owner, from another continent",
    );
    let who = (rig.victim)();
    let home = From { ip: v4(who % 3, who % 20, who % 65_000), agent: browser(who) };
    rig.script.login(at, &home, person(who), 0, None, true, Truth::Good);
    let from = rig.outside(6);
    rig.script.login(at + 30 * MINUTE, &from, person(who), 0, None, false, truth);
}

fn takeover(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "unusual_login",
        TAKEN,
        "a right password from a country, network and browser that are new",
    );
    let who = (rig.victim)();
    let from = From { agent: "curl/8".into(), ..rig.outside(7) };
    rig.script.login(at, &from, person(who), 0, None, false, truth);
}

fn second_factor(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("mfa_fatigue", TAKEN, "a right password, and codes that are guessed");
    let from = rig.outside(8);
    let who = person((rig.victim)());
    for n in 0..10 {
        rig.script.login(
            at + n * 20 * SECOND,
            &from,
            who.clone(),
            0,
            Some("bad_code"),
            false,
            truth,
        );
    }
}

fn token_reuse(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack("token_reuse", TAKEN, "a refresh token that was used before");
    let (from, who) = (rig.outside(9), person((rig.victim)()));
    let grant = format!("grt_reused_{}", rig.round);
    rig.script.token(at, &from, who, ("reuse", "web", &grant), truth);
}

fn hijack(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "session_hijack",
        TAKEN,
        "a cookie that is used elsewhere at the same time",
    );
    let who = (rig.victim)();
    let session = format!("ses_stolen_{}", rig.round);
    let home = From { ip: v4(who % 3, who % 20, who % 65_000), agent: browser(who) };
    let thief = From { agent: "curl/8".into(), ..rig.outside(60) };
    let asked = || ("profile", "/profile/me".to_owned());
    rig.script.request(at, &home, person(who), Some(&session), asked(), (200, 900), Truth::Good);
    let later = at + 2 * MINUTE;
    rig.script.request(later, &thief, person(who), Some(&session), asked(), (200, 900), truth);
}

fn replay(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack("proof_replay", &[], "stolen tokens without their keys");
    let from = rig.outside(61);
    for n in 0..10 {
        let asked = ("profile", format!("/profile/{n}"));
        rig.script.request(
            at + n * SECOND,
            &from,
            Actor::Anonymous,
            None,
            asked,
            (401, 100),
            truth,
        );
    }
}

fn applications(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("rapid_app_access", TAKEN, "twelve applications within half a minute");
    let (from, who) = (rig.outside(62), person((rig.victim)()));
    for n in 0..12 {
        let (client, grant) = (format!("app{n}"), format!("grt_apps_{}_{n}", rig.round));
        let done = ("issue", client.as_str(), grant.as_str());
        rig.script.token(at + n * 2 * SECOND, &from, who.clone(), done, truth);
    }
}

fn enumeration(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack("object_enumeration", &[], "order numbers one after the other");
    let (from, who) = (rig.outside(63), person((rig.victim)()));
    for n in 0..100 {
        let asked = ("orders", format!("/orders/{}", 10_000 + n));
        let status = if n % 10 == 0 { 200 } else { 403 };
        let session = format!("ses_walk_{}", rig.round);
        rig.script.request(
            at + n * 400,
            &from,
            who.clone(),
            Some(&session),
            asked,
            (status, 100),
            truth,
        );
    }
}

fn exfiltration(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack("exfiltration", &[], "every order there is, page by page");
    let (from, who) = (rig.outside(64), person((rig.victim)()));
    for n in 0..700 {
        let asked = ("orders", format!("/orders/{}", 50_000 + n));
        let session = format!("ses_copy_{}", rig.round);
        rig.script.request(
            at + n * 500,
            &from,
            who.clone(),
            Some(&session),
            asked,
            (200, 40_000),
            truth,
        );
    }
}

fn errors(rig: &mut Rig<'_>, _: u64) {
    let at = 24 * HOUR + rig.round * 2 * HOUR;
    let truth = rig.script.attack("error_spike", &[], "a service that breaks for a minute");
    for n in 0..200 {
        let who = (rig.victim)();
        let from = From { ip: v4(who % 3, who % 20, who % 65_000), agent: browser(who) };
        let asked = ("orders", format!("/orders/{who}"));
        let status = if n % 2 == 0 { 503 } else { 200 };
        rig.script.request(at + n * 250, &from, person(who), None, asked, (status, 100), truth);
    }
}

fn tampering(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack("admin_tampering", &[], "a signing key is taken out of use");
    let from = rig.outside(65);
    rig.script.admin(at, &from, "retire", "signing_key", format!("key{}", rig.round), truth);
}

fn sign_ups(rig: &mut Rig<'_>, at: u64) {
    let truth =
        rig.script.attack("signup_abuse", &[], "an account each half minute from one address");
    let from = rig.outside(66);
    for n in 0..40 {
        let name = nobody(1_000_000 + rig.round * 1_000 + n);
        rig.script.account(at + n * 30 * SECOND, &from, "registration_requested", name, truth);
    }
}

fn enrolments(rig: &mut Rig<'_>, at: u64) {
    let truth = rig.script.attack(
        "enrolment_farming",
        &[],
        "one telephone as second factor of many accounts",
    );
    let from = rig.outside(67);
    for n in 0..8 {
        let victim = person((rig.victim)());
        rig.script.account(at + n * MINUTE, &from, "totp_added", victim, truth);
    }
}
