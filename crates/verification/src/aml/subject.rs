use portcullis_events::{Actor, AdminChange, Kind, Origin};
use portcullis_store::aml::{self, SubjectRow};
use portcullis_types::{Id, tags};
use serde_json::json;

use super::{Aml, AmlError, State};

impl Aml {
    /// Compares a subject no longer with new versions of the lists.
    pub async fn stop_monitoring(
        &self,
        id: Id<tags::AmlSubject>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), AmlError> {
        self.db
            .write(|tx| async move {
                let row = aml::by_id(&tx, &self.tenant, id).await?;
                let row = row.filter(|row| row.monitored).ok_or(AmlError::NotFound)?;
                // Until now it was compared with everything new.
                let after = SubjectRow { monitored: false, screened_at: self.now(), ..row.clone() };
                if !aml::update(&tx, &self.tenant, &after, row.version).await? {
                    return Err(AmlError::Stale);
                }
                aml::found(&tx, &self.tenant, id).await?;
                let kind = monitored(id, true, false);
                Ok(tx.emit(self.event(by, Some(origin), kind)).await?)
            })
            .await
    }

    /// Erases a subject, its hits and what was decided about them, unless there is a hit that nobody has
    /// cleared: that must not vanish by one word. The audit log keeps that it was screened, under its id, and knows no name.
    pub async fn remove(
        &self,
        id: Id<tags::AmlSubject>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), AmlError> {
        self.db
            .write(|tx| async move {
                let hits = aml::of_subject(&tx, &self.tenant, id).await?;
                let cleared = State::FalsePositive.as_str();
                if hits.iter().any(|hit| hit.gone_at.is_none() && hit.state != cleared) {
                    return Err(AmlError::OpenHits);
                }
                if !aml::remove(&tx, &self.tenant, id).await? {
                    return Err(AmlError::NotFound);
                }
                let kind = change("delete", id, None, None);
                Ok(tx.emit(self.event(by, Some(origin), kind)).await?)
            })
            .await
    }
}

/// That a subject is monitored now, or no longer.
pub(crate) fn monitored(id: Id<tags::AmlSubject>, before: bool, after: bool) -> Kind {
    let told = |is: bool| Some(json!({ "monitored": is }));
    change("update", id, told(before), told(after))
}

fn change(
    action: &'static str,
    id: Id<tags::AmlSubject>,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
) -> Kind {
    let object = id.to_string();
    Kind::Admin(AdminChange { action, object_type: "aml_subject", object, before, after })
}
