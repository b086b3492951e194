use std::{collections::HashMap, time::Duration};

use portcullis_cluster::{Block as ActiveBlock, Decision, Rate, addr_limit_key};
use portcullis_events::{
    AccountChange, Actor, AdminChange, BlockChange, Event, Kind, Origin, Outcome,
};
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    cases::{self, Evidence},
    defence::{self, Alert, Block},
    grants::Revocation,
};
use portcullis_threat::{Answer, Finding};
use portcullis_types::{AddrKey, Id, Prefix, Timestamp, tags};
use serde_json::json;

use crate::{
    Identity, IdentityError,
    alerts::{AlertMail, Grounds},
    api_keys::label,
    service::actor,
};

/// A block that closes every door, rather than the one whose limit was exceeded.
pub const EVERYWHERE: &str = "all";

/// Blocks by limits that are stored and listed at once.
const MAX_LIMIT_BLOCKS: usize = 10_000;

/// A network from which a password alone is not enough, since an attack comes from there and many
/// people who did nothing wrong are there too.
pub const STEP_UP: &str = "step_up";
/// A network whose attempts to log in wait.
pub const DELAYED: &str = "delay";
/// Networks of one finding that are answered.
const MAX_SOURCES: usize = 64;
/// So many times as many alerts are raised in a minute as networks are answered.
pub(crate) const ALERTS_FOR_EACH_ANSWER: u32 = 10;

/// How findings are answered.
#[derive(Debug, Clone)]
pub struct Answering {
    /// How long a network stays out.
    pub block: Duration,
    /// How long a network or an account has to prove more.
    pub step_up: Duration,
    /// For how long attempts of a network wait.
    pub delay: Duration,
    /// Networks that are never answered.
    pub allow: Vec<Prefix>,
    /// Networks that are answered in a minute; beyond that there are only alerts.
    pub most_per_minute: u32,
    /// Alerts, and nothing else.
    pub observe: bool,
    /// Who is told by mail.
    pub mail: AlertMail,
}

impl Identity {
    /// Answers a finding: an alert, and what its rule asks for, within what `how` allows. All of it
    /// commits together.
    ///
    /// Nobody is locked out for good: networks come free by themselves, and accounts can always be
    /// opened by whoever reads their mail.
    pub async fn respond(
        &self,
        finding: &Finding,
        how: &Answering,
    ) -> Result<Id<tags::Alert>, IdentityError> {
        let now = self.now();
        let blocks = &self.blocks_for(finding, how, now);
        // The gate closes first: the database may be what the attack is slowing down.
        for block in blocks {
            self.close(block);
        }
        let by_network = matches!(finding.answer, Answer::Block | Answer::Delay);
        let answered = !how.observe && (!by_network || !blocks.is_empty());
        let alert = &self.alert_for(finding, blocks, answered, now);
        // Somebody with many networks could fill the table, and whoever reads it has seen enough.
        let most = how.most_per_minute.saturating_mul(ALERTS_FOR_EACH_ANSWER);
        let told = !finding.continues && self.is_within(b"alerts", most, now);
        if blocks.is_empty() && !told && (how.observe || finding.accounts.is_empty()) {
            return Ok(alert.id);
        }
        let mail_to = if told { self.mail_to(alert, &how.mail) } else { &[] };
        let (alert_id, revoked) = self
            .db
            .write(|tx| async move {
                for block in blocks {
                    defence::insert_block(&tx, &self.tenant, block).await?;
                    tx.emit(self.block_event(block, true, Actor::System)).await?;
                }
                if told {
                    self.store_alert(&tx, alert, &rule_of(finding), mail_to).await?;
                }
                let mut revoked = Vec::new();
                for id in finding.accounts.iter().filter(|_| !how.observe) {
                    let alert = told.then_some(alert.id);
                    revoked
                        .extend(self.answer_account(&tx, finding, (*id, alert), how, now).await?);
                }
                Ok::<_, IdentityError>((alert.id, revoked))
            })
            .await?;
        self.apply(&revoked, now);
        if !blocks.is_empty() {
            // A reload that began before the commit may have taken the block off again.
            self.reload_blocks().await?;
        }
        Ok(alert_id)
    }

    /// What becomes of the networks that a finding is about.
    fn blocks_for(&self, finding: &Finding, how: &Answering, now: Timestamp) -> Vec<Block> {
        if !matches!(finding.answer, Answer::Block | Answer::Delay) || how.observe {
            return Vec::new();
        }
        let free = |network: Prefix| {
            let ip = network.ip().into();
            // Neither may be part of the other.
            !how.allow
                .iter()
                .any(|allowed| allowed.contains(ip) || network.contains(allowed.ip().into()))
        };
        // A botnet that is slowed must not use up what is there to shut others out.
        let budget: &[u8] = if finding.answer == Answer::Delay { b"delays" } else { b"answers" };
        let within = || self.is_within(budget, how.most_per_minute, now);
        let sources = finding.sources.iter().take(MAX_SOURCES);
        let answered = sources.filter(|source| free(source.network) && within());
        answered
            .map(|source| {
                let (scope, span) = match (finding.answer, source.shared) {
                    (Answer::Delay, _) => (DELAYED, how.delay),
                    (_, true) => (STEP_UP, how.step_up),
                    (_, false) => (EVERYWHERE, how.block),
                };
                Block {
                    id: Id::new(now, &*self.entropy),
                    addr: source.network.to_string(),
                    scope: scope.into(),
                    reason: finding.description.clone(),
                    created_by: finding.rule.id.into(),
                    created_at: now,
                    until_at: now.plus(span),
                    lifted_at: None,
                    lifted_by: None,
                }
            })
            .collect()
    }

    /// Whether it is one of so many in a minute.
    pub(crate) fn is_within(&self, what: &[u8], count: u32, now: Timestamp) -> bool {
        let rate = Rate { count, per: Duration::from_secs(60) };
        let counted = self.limiter.count(&[b"defence", what], rate, None, now);
        matches!(counted, Decision::Allowed { .. })
    }

    fn close(&self, block: &Block) {
        let Some(network) = Prefix::parse(&block.addr) else { return };
        let list = match block.scope.as_str() {
            STEP_UP => &*self.suspects,
            DELAYED => &self.delays.networks,
            _ => &self.blocks,
        };
        list.insert(network, &active(block));
    }

    fn alert_for(
        &self,
        finding: &Finding,
        blocks: &[Block],
        answered: bool,
        now: Timestamp,
    ) -> Alert {
        let ids = |ids: Vec<String>| json!(ids).to_string();
        let answer = match finding.answer {
            Answer::Alert => "alert",
            _ if !answered => "observed",
            Answer::Block if blocks.iter().all(|block| block.scope == STEP_UP) => "step_up",
            Answer::Block => "block",
            Answer::Delay => "delay",
            Answer::StepUp => "step_up",
            Answer::EndSessions => "end_sessions",
        };
        let source = finding.sources.first().map(|source| source.network);
        let place = source.map(|network| format!(" from {network}")).unwrap_or_default();
        Alert {
            id: Id::new(now, &*self.entropy),
            rule: finding.rule.id.into(),
            title: format!("{}{place}", finding.rule.title),
            description: finding.description.clone(),
            addr: source.map(|network| network.to_string()),
            accounts: ids(finding.accounts.iter().map(Id::to_string).collect()),
            evidence: ids(finding.evidence.iter().map(Id::to_string).collect()),
            block_id: blocks.first().map(|block| block.id.to_string()),
            severity: i64::from(finding.rule.severity.ocsf()),
            technique: finding.rule.attack.0.into(),
            answer: answer.into(),
            created_at: now,
            acknowledged_at: None,
            acknowledged_by: None,
        }
    }

    /// Flags an account for review, and does to it what the rule asks for. What is revoked with it.
    async fn answer_account(
        &self,
        tx: &Tx,
        finding: &Finding,
        (id, alert): (Id<tags::User>, Option<Id<tags::Alert>>),
        how: &Answering,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, IdentityError> {
        // It may be gone by now.
        let Some(account) = accounts::by_id(tx, &self.tenant, id).await? else {
            return Ok(Vec::new());
        };
        let rule = finding.rule;
        if accounts::flag(tx, &self.tenant, &id.to_string(), rule.id, now).await? {
            tx.emit(self.system_event(changed("flagged", &account))).await?;
        }
        let severity = i64::from(rule.severity.ocsf());
        let found = Evidence { rule: rule.id, severity, alert };
        let case = Id::new(now, &*self.entropy);
        cases::open_or_add(tx, &self.tenant, id, case, found, now).await?;
        if matches!(finding.answer, Answer::StepUp | Answer::EndSessions) {
            // Where it is about a login, the device of that login and none before.
            let session = session_of(finding).map(Id::made_at);
            // Else those since the first event of it, by the clock that dates devices too.
            let first = finding.evidence.iter().map(|event| event.made_at()).min();
            let span =
                (session.or(first).unwrap_or(finding.first_seen), now, now.plus(how.step_up));
            accounts::require_step_up(tx, &self.tenant, id, span).await?;
        }
        if finding.answer == Answer::StepUp {
            return self.end_own_session(tx, finding, id, now).await;
        }
        if finding.answer != Answer::EndSessions {
            return Ok(Vec::new());
        }
        tx.emit(self.system_event(changed("sessions_ended", &account))).await?;
        self.end_everything(tx, id, None, rule.id, now).await
    }

    /// The session that a finding is about must be begun anew, with more than a password.
    async fn end_own_session(
        &self,
        tx: &Tx,
        finding: &Finding,
        account: Id<tags::User>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, IdentityError> {
        let Some(session) = session_of(finding) else { return Ok(Vec::new()) };
        let ended = self.end_session_in(tx, account, session, finding.rule.id, now).await?;
        Ok(ended.unwrap_or_default())
    }

    /// Remembers that a limit blocked an address, so that it is listed and survives a restart.
    pub async fn record_limit_block(
        &self,
        limit: &str,
        addr: AddrKey,
        until: Timestamp,
    ) -> Result<(), IdentityError> {
        // Whoever owns many networks could fill the list; beyond this the block holds in memory.
        if self.limit_blocks.len() >= MAX_LIMIT_BLOCKS {
            return Ok(());
        }
        let now = self.now();
        let block = &Block {
            id: Id::new(now, &*self.entropy),
            addr: addr.to_string(),
            scope: limit.to_owned(),
            reason: format!("more requests than the limit {limit} allows"),
            created_by: "rate_limit".into(),
            created_at: now,
            until_at: until,
            lifted_at: None,
            lifted_by: None,
        };
        self.db
            .write(|tx| async move {
                defence::insert_block(&tx, &self.tenant, block).await?;
                Ok(tx.emit(self.block_event(block, true, Actor::System)).await?)
            })
            .await
    }

    /// Blocks an address or network by hand.
    pub async fn block_address(
        &self,
        addr: Prefix,
        reason: &str,
        span: Duration,
        by: &Actor,
    ) -> Result<Block, IdentityError> {
        let now = self.now();
        let block = Block {
            id: Id::new(now, &*self.entropy),
            addr: addr.to_string(),
            scope: EVERYWHERE.into(),
            reason: portcullis_events::clean(reason),
            created_by: label(by),
            created_at: now,
            until_at: now.plus(span),
            lifted_at: None,
            lifted_by: None,
        };
        let stored = &block;
        self.db
            .write(|tx| async move {
                defence::insert_block(&tx, &self.tenant, stored).await?;
                tx.emit(self.block_event(stored, true, by.clone())).await?;
                Ok::<_, IdentityError>(())
            })
            .await?;
        self.reload_blocks().await?;
        Ok(block)
    }

    /// Lifts a block before its time.
    pub async fn lift_block(
        &self,
        id: Id<tags::Block>,
        by: &Actor,
    ) -> Result<Block, IdentityError> {
        let now = self.now();
        let block = self
            .db
            .write(|tx| async move {
                let block = defence::block(&tx, &self.tenant, id).await?;
                let block = block.ok_or(IdentityError::NotFound)?;
                if !defence::lift_block(&tx, &self.tenant, id, &label(by), now).await? {
                    return Err(IdentityError::NotFound);
                }
                tx.emit(self.block_event(&block, false, by.clone())).await?;
                Ok(block)
            })
            .await?;
        let limit = ![EVERYWHERE, STEP_UP, DELAYED].contains(&block.scope.as_str());
        if let Some(addr) = AddrKey::parse(&block.addr).filter(|_| limit) {
            let key = addr_limit_key(&block.scope, addr);
            self.limiter.forget(&key.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        self.reload_blocks().await?;
        Ok(block)
    }

    /// Hands the blocks in force to the gate. Blocks of one limit go to the limiter; those that
    /// were lifted elsewhere are forgotten there.
    pub async fn reload_blocks(&self) -> Result<(), IdentityError> {
        let _turn = self.inner().reloading.lock().await;
        let now = self.now();
        let rows = defence::live_blocks(&self.db, &self.tenant, now).await?;
        let (mut everywhere, mut suspects) = (HashMap::new(), HashMap::new());
        let mut delayed = HashMap::new();
        let mut limits = HashMap::new();
        for row in rows {
            let Some(network) = Prefix::parse(&row.addr) else {
                continue;
            };
            match row.scope.as_str() {
                EVERYWHERE => drop(everywhere.insert(network, active(&row))),
                STEP_UP => drop(suspects.insert(network, active(&row))),
                DELAYED => drop(delayed.insert(network, active(&row))),
                _ => {
                    let key = AddrKey::parse(&row.addr).map(|addr| (row.scope.clone(), addr));
                    limits.extend(key.map(|key| (key, row.until_at)));
                }
            }
        }
        self.blocks.replace(everywhere);
        self.suspects.replace(suspects);
        self.delays.networks.replace(delayed);
        self.limit_blocks.replace(limits, &self.limiter, now);
        Ok(())
    }

    /// Takes note of an alert.
    pub async fn acknowledge_alert(
        &self,
        id: Id<tags::Alert>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        self.db
            .write(|tx| async move {
                if !defence::acknowledge_alert(&tx, &self.tenant, id, &label(by), now).await? {
                    return Err(IdentityError::NotFound);
                }
                let change = AdminChange {
                    action: "acknowledge",
                    object_type: "alert",
                    object: id.to_string(),
                    before: None,
                    after: None,
                };
                let kind = Kind::Admin(change);
                Ok(tx.emit(self.event(origin, by.clone(), Outcome::Success, kind)).await?)
            })
            .await
    }

    pub(crate) fn system_event(&self, kind: Kind) -> Event {
        let now = self.now();
        Event::new(Id::new(now, &*self.entropy), now, None, Actor::System, Outcome::Success, kind)
    }

    fn block_event(&self, block: &Block, active: bool, by: Actor) -> Event {
        let change = BlockChange {
            block: block.id.to_string(),
            addr: block.addr.clone(),
            active,
            reason: block.reason.clone(),
            until: block.until_at,
        };
        Event { actor: by, ..self.system_event(Kind::Block(change)) }
    }
}

/// What an alert says of the rule of a finding, and of what led to it.
fn rule_of(finding: &Finding) -> Grounds<'_> {
    let (technique, name) = finding.rule.attack;
    Grounds {
        rule: finding.rule.id.into(),
        attack: (technique.into(), name),
        first_seen: finding.first_seen,
        evidence: &finding.evidence,
        accounts: &finding.accounts,
        source: finding.sources.first().map(|source| source.network.ip()),
    }
}

fn active(block: &Block) -> ActiveBlock {
    ActiveBlock { id: block.id.to_string(), until: block.until_at }
}

/// The session that a finding is about, if it is about one of a browser.
fn session_of(finding: &Finding) -> Option<Id<tags::Session>> {
    finding.session.as_deref()?.parse().ok()
}

fn changed(change: &'static str, account: &Account) -> Kind {
    Kind::Account(AccountChange { change, user: actor(account), provider: None })
}
