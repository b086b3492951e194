//! The commands beside `up`.

pub mod aml;
pub mod api_keys;
pub mod audit;
pub mod blocks;
pub mod ca;
pub mod check;
pub mod enrol;
pub mod evidence;
pub mod explain;
pub mod idv;
pub mod import;
pub mod keep;
pub mod keys;
pub mod policy;
pub mod users;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use portcullis_events::{Actor, Event, Kind, Outcome};
use portcullis_store::{CommitSink, Db, SinkFuture};
use portcullis_types::{Id, SharedClock, SharedEntropy};

use crate::{Place, config::Config, kek::Kek, parts::database_url, system, vault::Vault};

/// Events of a command stay in the outbox; the running service, or its next start, records them.
struct LeaveInOutbox;

impl CommitSink for LeaveInOutbox {
    fn committed<'a>(&'a self, _: &'a [Event]) -> SinkFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

/// The database of an installation, from the command line.
struct Offline {
    config: Config,
    db: Db,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl Offline {
    async fn open(place: &Place) -> Result<Self> {
        let config = place.load()?;
        let data = place.data.display();
        ensure!(place.data.is_dir(), "{data} is not there; `portcullis up` makes it at its start");
        let url = database_url(&config, &place.data);
        let db = Db::open(&url, Arc::new(LeaveInOutbox)).await.context("open the database")?;
        Ok(Self { config, db, clock: system::clock(), entropy: system::entropy() })
    }

    /// The same for whoever changes something: the log takes no event from the database that was put there
    /// without the keys of the installation.
    async fn open_to_change(place: &Place) -> Result<Self> {
        let offline = Self::open(place).await?;
        let (db, entropy) = (offline.db.clone(), offline.entropy.clone());
        // Where there is an installation its key must be here: another one would be made, and be of no use.
        ensure!(
            Kek::exists(&offline.config, &place.data) || !Kek::is_used(&db).await?,
            "the key-encryption key of this installation is not here"
        );
        let vault = Vault::open(&offline.config, &place.data, db, entropy).await?;
        vault.vouch_for_events().await?;
        Ok(offline)
    }

    fn event(&self, kind: Kind) -> Event {
        let now = self.clock.now();
        let id = Id::new(now, &*self.entropy);
        Event::new(id, now, None, Actor::Operator, Outcome::Success, kind)
    }
}

/// Prints what the command was asked for. Whoever reads may have seen enough: that is no failure.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{text}"));
}
