use std::time::Duration;

use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::{aml, idv::sessions};
use portcullis_types::{Id, Timestamp, tags};

use super::{SessionError, Sessions, open::KEEP_OTHERS_DAYS};
use crate::webhooks::Told;

/// That what a session was about is gone.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// The session.
    pub session: Id<tags::IdvSession>,
    /// When.
    pub at: Timestamp,
    /// The entry of the audit log that says so.
    pub event: Id<tags::Event>,
    /// The subject of screening that the person still is, if they are one: that is kept on its own terms.
    pub aml_subject: Option<Id<tags::AmlSubject>>,
}

impl Sessions {
    /// Destroys the key of a session and all that was sealed with it. That there was one, by which workflow
    /// and what came of it stays.
    pub async fn erase(
        &self,
        id: Id<tags::IdvSession>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Erasure, SessionError> {
        let erased = self
            .db
            .write(|tx| async move {
                let row = sessions::by_id(&tx, &self.tenant, id).await?;
                let row = row.ok_or(SessionError::NotFound)?;
                let at = self.now();
                let until = at.plus(Duration::from_secs(KEEP_OTHERS_DAYS * 24 * 3600));
                if !sessions::erase(&tx, &self.tenant, id, at, until).await? {
                    return Err(SessionError::Erased);
                }
                let erased = sessions::by_id(&tx, &self.tenant, id).await?;
                let erased = erased.ok_or(SessionError::NotFound)?;
                let ended = (row.ended_at.is_none())
                    .then(|| Told::Status { before: row.status.clone(), decision: None });
                let told: Vec<Told> = ended.into_iter().chain([Told::Erased]).collect();
                self.webhooks.tell(&tx, &erased, &told).await?;
                let subject = match &row.reference[..] {
                    "" => None,
                    reference => aml::by_reference(&tx, &self.tenant, reference).await?,
                };
                let about = self.about_row(&row);
                let status = if row.ended_at.is_none() { "cancelled" } else { about.status };
                let told = Verification { change: "erased", status, ..about };
                let event = self.event(by, Some(origin), Kind::Verification(told));
                let recorded = event.id;
                tx.emit(event).await?;
                let aml_subject = subject.map(|row| row.id);
                Ok(Erasure { session: id, at, event: recorded, aml_subject })
            })
            .await?;
        self.webhooks.wake();
        self.db.overwrite_remnants().await;
        Ok(erased)
    }
}

impl Sessions {
    /// What an event says of a session of which nothing has to be opened.
    pub(super) fn about_row(&self, row: &sessions::SessionRow) -> Verification {
        Verification {
            session: row.id.to_string(),
            status: status(&row.status),
            version: row.version,
            workflow: row.workflow_id.to_string(),
            workflow_version: row.workflow_version,
            ..Verification::default()
        }
    }
}

fn status(text: &str) -> &'static str {
    let all = portcullis_workflow::Status::ALL;
    all.into_iter().find(|status| status.as_str() == text).map_or("", |status| status.as_str())
}
