//! Lets the detectors look at everything, answers as the product does, and counts.

use std::{collections::HashMap, fmt, time::Duration};

use portcullis_events::{Actor, Kind};
use portcullis_threat::{Answer, Finding, Rules, Watch};
use portcullis_types::{Id, Prefix, Timestamp, tags};

use crate::{
    chance::Chance,
    script::{Script, Truth},
    world::{Map, offices},
};

/// As the product does by default.
const BLOCK: Duration = Duration::from_secs(900);
const STEP_UP: Duration = Duration::from_secs(3_600);

/// What came of the attacks of one rule.
#[derive(Debug, Default, Clone)]
pub struct Line {
    /// Attacks there were.
    pub attacks: usize,
    /// Attacks that were found, by this rule or one that may see them as well.
    pub found: usize,
    /// Of these, by the rule itself.
    pub by_itself: usize,
    /// Findings of the rule about nothing.
    pub false_alarms: usize,
    /// From the first event of an attack to the first finding.
    pub time_to_find: Vec<Duration>,
    /// Events of attacks that came through before the finding.
    pub events_before: Vec<usize>,
}

/// What came of everything.
#[derive(Debug, Default)]
pub struct Score {
    /// By rule.
    pub lines: HashMap<&'static str, Line>,
    /// Logins of people who may.
    pub good_logins: usize,
    /// Of these, hindered by a block.
    pub blocked_logins: usize,
    /// Of these, asked for more than usual.
    pub stepped_up_logins: usize,
    /// Offices that were blocked.
    pub blocked_offices: usize,
    /// Findings about people who may, with what they say.
    pub wrong: Vec<String>,
    /// Attacks that were missed.
    pub missed: Vec<String>,
    /// Events.
    pub events: usize,
}

/// What the answers are so far.
#[derive(Default)]
struct Answers {
    blocks: HashMap<Prefix, Timestamp>,
    step_up: HashMap<Prefix, Timestamp>,
    accounts: HashMap<Id<tags::User>, Timestamp>,
}

impl Answers {
    fn take(&mut self, finding: &Finding, now: Timestamp) {
        for source in &finding.sources {
            match (finding.answer, source.shared) {
                (Answer::Block, false) => {
                    self.blocks.insert(source.network, now.plus(BLOCK));
                }
                (Answer::Block, true) => {
                    self.step_up.insert(source.network, now.plus(STEP_UP));
                }
                _ => {}
            }
        }
        if matches!(finding.answer, Answer::StepUp | Answer::EndSessions) {
            self.accounts.extend(finding.accounts.iter().map(|id| (*id, now.plus(STEP_UP))));
        }
    }
}

/// Runs it.
pub fn run(script: &Script, rules: Rules) -> Score {
    let mut watch = Watch::new(rules, &Chance::new(9));
    let (mut score, mut answers) = (Score::default(), Answers::default());
    let mut first = HashMap::<usize, (Timestamp, usize)>::new();
    let mut found_at = HashMap::<usize, &'static str>::new();
    let mut found = Vec::new();
    for step in &script.steps {
        score.events += 1;
        let blocked = is_in(&answers.blocks, &step.event, step.at);
        match step.truth {
            Truth::Attack(number) => {
                first.entry(number).or_insert((step.at, 0)).1 += 1;
            }
            Truth::Good => hindered(&mut score, &answers, step, blocked),
        }
        if blocked {
            continue;
        }
        found.clear();
        watch.observe(&step.event, &Map, step.at, &mut found);
        for finding in &found {
            answers.take(finding, step.at);
            let line = score.lines.entry(finding.rule.id).or_default();
            let Truth::Attack(number) = step.truth else {
                line.false_alarms += 1;
                score.wrong.push(format!("{}: {}", finding.rule.id, finding.description));
                continue;
            };
            let attack = &script.attacks[number];
            let by_itself = attack.rule == finding.rule.id;
            if !by_itself && !attack.also.contains(&finding.rule.id) {
                continue;
            }
            let before = found_at.insert(number, finding.rule.id);
            let line = score.lines.entry(attack.rule).or_default();
            if before.is_none() {
                let (begin, events) = first[&number];
                line.found += 1;
                line.time_to_find.push(step.at.since(begin));
                line.events_before.push(events);
            }
            line.by_itself += usize::from(by_itself);
        }
    }
    for (number, attack) in script.attacks.iter().enumerate() {
        score.lines.entry(attack.rule).or_default().attacks += 1;
        if !found_at.contains_key(&number) {
            score.missed.push(format!("{}: {}", attack.rule, attack.about));
        }
    }
    let blocked = |ip| {
        answers.blocks.keys().any(|network| network.contains(portcullis_types::ClientAddr::new(ip)))
    };
    score.blocked_offices = offices().into_iter().filter(|ip| blocked(*ip)).count();
    score
}

fn hindered(score: &mut Score, answers: &Answers, step: &crate::script::Step, blocked: bool) {
    let Kind::Login(attempt) = &step.event.kind else { return };
    if !step.event.outcome.is_success() {
        return;
    }
    score.good_logins += 1;
    let account = match &step.event.actor {
        Actor::User { id, .. } => id.parse().ok().and_then(|id| answers.accounts.get(&id)),
        _ => None,
    };
    let suspect = account.is_some_and(|until| *until > step.at)
        || is_in(&answers.step_up, &step.event, step.at);
    if blocked {
        score.blocked_logins += 1;
    } else if suspect && attempt.known_device != Some(true) {
        score.stepped_up_logins += 1;
    }
}

fn is_in(
    networks: &HashMap<Prefix, Timestamp>,
    event: &portcullis_events::Event,
    now: Timestamp,
) -> bool {
    let Some(origin) = &event.origin else { return false };
    [32, 24, 64, 56, 48].into_iter().any(|length| {
        let network = Prefix::new(origin.addr.ip(), length);
        networks.get(&network).is_some_and(|until| *until > now)
    })
}

impl Score {
    /// Attacks that were found, of all.
    pub fn recall(&self) -> f64 {
        let sum = |of: fn(&Line) -> usize| self.lines.values().map(of).sum::<usize>() as f64;
        sum(|line| line.found) / sum(|line| line.attacks).max(1.0)
    }

    /// Good logins that were blocked or asked for more, of all.
    pub fn collateral(&self) -> f64 {
        (self.blocked_logins + self.stepped_up_logins) as f64 / (self.good_logins as f64).max(1.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>7} {:>6} {:>9} {:>6} {:>12} {:>7}",
            "rule", "attacks", "found", "by itself", "false", "median time", "events"
        )?;
        for rule in Rules::ALL {
            let line = self.lines.get(rule.id).cloned().unwrap_or_default();
            let mut times = line.time_to_find.clone();
            let mut events = line.events_before.clone();
            times.sort_unstable();
            events.sort_unstable();
            let time = times
                .get(times.len() / 2)
                .map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
            let events = events.get(events.len() / 2).map_or("-".to_owned(), usize::to_string);
            writeln!(
                f,
                "{:<26} {:>7} {:>6} {:>9} {:>6} {time:>12} {events:>7}",
                rule.id, line.attacks, line.found, line.by_itself, line.false_alarms
            )?;
        }
        writeln!(f, "\nevents                     {}", self.events)?;
        writeln!(f, "recall                     {:.4}", self.recall())?;
        writeln!(f, "good logins                {}", self.good_logins)?;
        writeln!(f, "  blocked                  {}", self.blocked_logins)?;
        writeln!(f, "  asked for more           {}", self.stepped_up_logins)?;
        writeln!(f, "  hindered                 {:.3} %", self.collateral() * 100.0)?;
        write!(f, "offices blocked            {}", self.blocked_offices)
    }
}
