use std::{collections::HashMap, time::Duration};

use portcullis_cluster::{Block as ActiveBlock, addr_limit_key};
use portcullis_events::{
    AccountChange, Actor, AdminChange, AlertRaised, BlockChange, Event, Kind, Origin, Outcome,
};
use portcullis_store::{
    accounts,
    defence::{self, Alert, Block},
};
use portcullis_types::{AddrKey, Id, Timestamp, tags};
use serde_json::json;

use crate::{Identity, IdentityError, api_keys::label};

/// A block that closes every door, rather than the one whose limit was exceeded.
pub const EVERYWHERE: &str = "all";

/// Blocks by limits that are stored and listed at once.
const MAX_LIMIT_BLOCKS: usize = 10_000;

/// An attack that calls for an answer.
#[derive(Debug)]
pub struct Attack {
    /// The rule that saw it.
    pub rule: &'static str,
    /// Technique and name in MITRE ATT&CK.
    pub attack: (&'static str, &'static str),
    /// Where it came from.
    pub addr: AddrKey,
    /// The accounts that were tried.
    pub accounts: Vec<Actor>,
    /// The ids of the events that led to it.
    pub evidence: Vec<String>,
    /// When it began.
    pub first_seen: Timestamp,
    /// What happened, in a sentence.
    pub description: String,
}

impl Identity {
    /// Answers an attack: an alert, a block of the address for `block_for`, and a flag on every
    /// account that exists among those tried. All of it commits together.
    pub async fn respond(
        &self,
        attack: &Attack,
        block_for: Duration,
    ) -> Result<Id<tags::Alert>, IdentityError> {
        let now = self.now();
        let block = &Block {
            id: Id::new(now, &*self.entropy),
            addr: attack.addr.to_string(),
            scope: EVERYWHERE.into(),
            reason: attack.description.clone(),
            created_by: attack.rule.into(),
            created_at: now,
            until_at: now.plus(block_for),
            lifted_at: None,
            lifted_by: None,
        };
        let users: &Vec<String> = &attack.accounts.iter().filter_map(user_id).collect();
        let alert = &Alert {
            id: Id::new(now, &*self.entropy),
            rule: attack.rule.into(),
            title: format!("Password spraying from {}", attack.addr),
            description: attack.description.clone(),
            addr: Some(attack.addr.to_string()),
            accounts: json!(users).to_string(),
            evidence: json!(attack.evidence).to_string(),
            block_id: Some(block.id.to_string()),
            created_at: now,
            acknowledged_at: None,
            acknowledged_by: None,
        };
        // The gate closes first: the database may be what the attack is slowing down.
        self.blocks.insert(attack.addr, &active(block));
        let alert_id = self
            .db
            .write(|tx| async move {
                defence::insert_block(&tx, &self.tenant, block).await?;
                defence::insert_alert(&tx, &self.tenant, alert).await?;
                tx.emit(self.alert_event(alert, attack, users)).await?;
                tx.emit(self.block_event(block, true, Actor::System)).await?;
                for account in &attack.accounts {
                    let Some(id) = user_id(account) else { continue };
                    if accounts::flag(&tx, &self.tenant, &id, attack.rule, now).await? {
                        let change = AccountChange {
                            change: "flagged",
                            user: account.clone(),
                            provider: None,
                        };
                        tx.emit(self.system_event(Kind::Account(change))).await?;
                    }
                }
                Ok::<_, IdentityError>(alert.id)
            })
            .await?;
        // A reload that began before the commit may have taken the block off again.
        self.reload_blocks().await?;
        Ok(alert_id)
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

    /// Blocks an address by hand.
    pub async fn block_address(
        &self,
        addr: AddrKey,
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
        if let Some(addr) = AddrKey::parse(&block.addr).filter(|_| block.scope != EVERYWHERE) {
            let key = addr_limit_key(&block.scope, addr);
            self.limiter.forget(&key.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        self.reload_blocks().await?;
        Ok(block)
    }

    /// Hands the blocks in force to the gate. Blocks of one limit go to the limiter; those that
    /// were lifted elsewhere are forgotten there.
    pub async fn reload_blocks(&self) -> Result<(), IdentityError> {
        let now = self.now();
        let rows = defence::live_blocks(&self.db, &self.tenant, now).await?;
        let mut everywhere = HashMap::new();
        let mut limits = HashMap::new();
        for row in rows {
            let Some(addr) = AddrKey::parse(&row.addr) else {
                continue;
            };
            if row.scope == EVERYWHERE {
                everywhere.insert(addr, active(&row));
            } else {
                limits.insert((row.scope, addr), row.until_at);
            }
        }
        self.blocks.replace(everywhere);
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

    fn system_event(&self, kind: Kind) -> Event {
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

    fn alert_event(&self, alert: &Alert, attack: &Attack, users: &[String]) -> Event {
        let raised = AlertRaised {
            alert: alert.id.to_string(),
            rule: attack.rule,
            title: alert.title.clone(),
            description: alert.description.clone(),
            attack: attack.attack,
            first_seen: attack.first_seen,
            evidence: attack.evidence.clone(),
            accounts: users.to_vec(),
        };
        let ip = attack.addr.to_string();
        let addr = ip.split('/').next().and_then(|ip| ip.parse::<std::net::IpAddr>().ok());
        let origin = addr.map(|addr| Origin { addr: addr.into(), ..Origin::default() });
        Event { origin, ..self.system_event(Kind::Alert(raised)) }
    }
}

fn active(block: &Block) -> ActiveBlock {
    ActiveBlock { id: block.id.to_string(), until: block.until_at }
}

fn user_id(actor: &Actor) -> Option<String> {
    match actor {
        Actor::User { id, .. } => Some(id.clone()),
        _ => None,
    }
}
