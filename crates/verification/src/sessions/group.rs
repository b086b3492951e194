//! Sessions that are asked for at once are begun in one transaction: most of what one costs is the way to the database
//! and the log and back.

use std::sync::{Arc, Mutex, PoisonError};

use portcullis_events::{Actor, Origin};
use portcullis_store::{
    DbError, Tx,
    idv::requests::{self, MadeRow},
};
use tokio::sync::{Semaphore, oneshot};

use super::{Begin, Begun, Open, SessionError, Sessions, begin::check, service::label};
use crate::CheckError;

/// A request is not made twice for so long.
const REMEMBER: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// Sessions that are begun in one transaction.
const GROUP_MAX: usize = 32;
/// Groups that are begun at once.
const GROUPS: usize = 2;

/// What is asked at once, and begun together.
pub(super) struct Begins {
    waiting: Mutex<Vec<Waiting>>,
    /// Groups that are begun beside each other: while one waits for the log, another one is written.
    turns: Arc<Semaphore>,
}

impl Default for Begins {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turns: Arc::new(Semaphore::new(GROUPS)) }
    }
}

/// Somebody who waits for a session to be begun.
struct Waiting {
    asked: Begin,
    /// What makes two requests one, and which request it was.
    key: Option<(String, String)>,
    by: Actor,
    origin: Origin,
    done: oneshot::Sender<Result<Begun, SessionError>>,
}

impl Sessions {
    /// Begins a session.
    pub async fn begin(
        &self,
        asked: Begin,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Begun, SessionError> {
        check(&asked)?;
        // Whose key it is is part of it: one caller cannot come upon what another began.
        let key = asked.key.as_ref().map(|(key, request)| {
            let whose = label(by);
            let key = self.hex_digest(&[b"idempotency", whose.as_bytes(), key.as_bytes()]);
            (key, self.hex_digest(&[b"request", request]))
        });
        let (done, mut begun) = oneshot::channel();
        let (by, origin) = (by.clone(), origin.clone());
        self.asked_for().push(Waiting { asked, key, by, origin, done });
        let lost = |_| Err(SessionError::Db(DbError::Ended));
        loop {
            let turn = tokio::select! {
                biased;
                begun = &mut begun => return begun.unwrap_or_else(lost),
                turn = self.inner().begins.turns.clone().acquire_owned() => {
                    turn.map_err(|_| DbError::Ended)?
                }
            };
            let group = self.next_group();
            if group.is_empty() {
                // Somebody else has taken it up.
                drop(turn);
                return begun.await.unwrap_or_else(lost);
            }
            let sessions = self.clone();
            // Whoever goes away must not take the others along.
            let together = tokio::spawn(async move {
                sessions.begin_together(group).await;
                drop(turn);
            });
            if let Err(error) = together.await {
                tracing::error!(%error, "sessions were not begun");
            }
        }
    }

    fn asked_for(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.inner().begins.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who have waited longest, without those who do not wait any more.
    fn next_group(&self) -> Vec<Waiting> {
        let mut waiting = self.asked_for();
        waiting.retain(|one| !one.done.is_closed());
        let count = waiting.len().min(GROUP_MAX);
        waiting.drain(..count).collect()
    }

    async fn begin_together(&self, group: Vec<Waiting>) {
        let begun = self.begin_group(&group).await;
        match begun {
            Ok(begun) => {
                for (one, begun) in group.into_iter().zip(begun) {
                    self.tell(one, begun);
                }
            }
            // Nothing was written: what is wrong with one of them is nothing to the others.
            Err(error) if group.len() > 1 && is_undone(&error) => {
                for one in group {
                    let begun = self.begin_group(std::slice::from_ref(&one)).await;
                    let begun = begun.and_then(|mut begun| begun.pop().unwrap_or_else(ended));
                    self.tell(one, begun);
                }
            }
            Err(error) => {
                let again = match &error {
                    SessionError::Db(DbError::NotRecorded) => || DbError::NotRecorded,
                    SessionError::Db(DbError::Unsure) => || DbError::Unsure,
                    _ => || DbError::Ended,
                };
                let mut error = Some(error);
                for one in group {
                    let error = error.take().unwrap_or_else(|| again().into());
                    self.tell(one, Err(error));
                }
            }
        }
    }

    fn tell(&self, one: Waiting, begun: Result<Begun, SessionError>) {
        if let Ok(begun) = &begun {
            self.done(&begun.open);
        }
        // Whoever has gone meanwhile finds it by its key.
        drop(one.done.send(begun));
    }

    /// Begins these in one transaction. Whoever asks for what cannot be is told so, alone.
    async fn begin_group(
        &self,
        group: &[Waiting],
    ) -> Result<Vec<Result<Begun, SessionError>>, SessionError> {
        self.db
            .write(|tx| async move {
                let mut all = Vec::with_capacity(group.len());
                for one in group {
                    let found = match self.find_or_prepare(&tx, one).await {
                        Err(error) if is_of_database(&error) => return Err(error),
                        found => found,
                    };
                    all.push(match found {
                        Ok(Found::Before(begun)) => Ok(*begun),
                        Ok(Found::New(open)) => {
                            let by = (&one.by, &one.origin);
                            let open = self.take_first(&tx, *open, by).await?;
                            self.remember(&tx, one, &open).await?;
                            Ok(Begun { open, is_repeated: false })
                        }
                        Err(error) => Err(error),
                    });
                }
                Ok(all)
            })
            .await
    }

    /// Reads whatever a new session needs, and writes nothing.
    async fn find_or_prepare(&self, tx: &Tx, one: &Waiting) -> Result<Found, SessionError> {
        let now = self.now();
        if let Some((key, request)) = &one.key
            && let Some(made) = requests::made(tx, &self.tenant, key, now).await?
        {
            if made.request != *request {
                return Err(SessionError::KeyReused);
            }
            let open = self.open(tx, made.session_id).await?;
            return Ok(Found::Before(Box::new(Begun { open, is_repeated: true })));
        }
        Ok(Found::New(Box::new(self.prepare(tx, &one.asked, now).await?)))
    }

    async fn remember(&self, tx: &Tx, one: &Waiting, open: &Open) -> Result<(), SessionError> {
        let Some((key, request)) = &one.key else { return Ok(()) };
        let made = MadeRow { request: request.clone(), session_id: open.row.id };
        let until = self.now().plus(REMEMBER);
        Ok(requests::remember(tx, &self.tenant, key, &made, until).await?)
    }
}

/// What there is for a request.
enum Found {
    /// The same request was made before.
    Before(Box<Begun>),
    /// A session before anything happened.
    New(Box<Open>),
}

/// Whether an error says that nothing was written, and comes of what was asked for. Of a commit that broke off nobody
/// knows, and where the database is away it is so for everybody.
fn is_undone(error: &SessionError) -> bool {
    match error {
        SessionError::Db(error) | SessionError::Check(CheckError::Db(error)) => {
            error.is_of_statement()
        }
        _ => true,
    }
}

/// Whether the transaction is over.
fn is_of_database(error: &SessionError) -> bool {
    matches!(error, SessionError::Db(_) | SessionError::Check(CheckError::Db(_)))
}

fn ended<T>() -> Result<T, SessionError> {
    Err(SessionError::Db(DbError::Ended))
}
