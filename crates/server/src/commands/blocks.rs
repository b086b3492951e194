use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use portcullis_events::{BlockChange, Kind};
use portcullis_store::{DbError, defence};
use portcullis_types::{DEFAULT_TENANT, Id, tags};

use crate::{
    Place,
    commands::{Offline, say},
};

#[derive(Subcommand)]
pub enum BlocksCommand {
    /// Blocks in force
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Lift a block; a running service follows within a second
    Lift {
        #[command(flatten)]
        place: Place,
        /// The block, such as blk_01k…
        id: String,
    },
}

pub async fn run(command: BlocksCommand) -> Result<ExitCode> {
    match command {
        BlocksCommand::List { place } => list(&Offline::open(&place).await?).await,
        BlocksCommand::Lift { place, id } => {
            lift(&Offline::open_to_change(&place).await?, id.parse()?).await
        }
    }
}

async fn list(offline: &Offline) -> Result<ExitCode> {
    let blocks = defence::live_blocks(&offline.db, DEFAULT_TENANT, offline.clock.now()).await?;
    if blocks.is_empty() {
        say("no address is blocked");
    }
    for block in blocks {
        let until = block.until_at.to_rfc3339();
        say(&format!(
            "{}  {}  {}  until {until}  by {}  {}",
            block.id, block.addr, block.scope, block.created_by, block.reason
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn lift(offline: &Offline, id: Id<tags::Block>) -> Result<ExitCode> {
    let lifted = offline
        .db
        .write(|tx| async move {
            let now = offline.clock.now();
            let Some(block) = defence::block(&tx, DEFAULT_TENANT, id).await? else {
                return Ok(false);
            };
            if !defence::lift_block(&tx, DEFAULT_TENANT, id, "operator", now).await? {
                return Ok(false);
            }
            let change = BlockChange {
                block: id.to_string(),
                addr: block.addr,
                active: false,
                reason: block.reason,
                until: block.until_at,
            };
            tx.emit(offline.event(Kind::Block(change))).await?;
            Ok::<_, DbError>(true)
        })
        .await?;
    if !lifted {
        bail!("there is no block {id} in force");
    }
    say(&format!("{id} is lifted"));
    Ok(ExitCode::SUCCESS)
}
