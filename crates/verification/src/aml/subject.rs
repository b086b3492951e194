use portcullis_events::{Actor, AdminChange, Kind, Origin};
use portcullis_store::aml::{self, SubjectRow};
use portcullis_types::{Id, tags};
use serde_json::json;

use super::{Aml, AmlError};

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
                let after = SubjectRow { monitored: false, ..row.clone() };
                if !aml::update(&tx, &self.tenant, &after, row.version).await? {
                    return Err(AmlError::Stale);
                }
                let before = Some(json!({ "monitored": true }));
                let after = Some(json!({ "monitored": false }));
                let kind = change("update", id, before, after);
                Ok(tx.emit(self.event(by, Some(origin), kind)).await?)
            })
            .await
    }

    /// Erases a subject, its hits and what was decided about them. The audit log keeps that it was screened,
    /// under its id, and knows no name.
    pub async fn remove(
        &self,
        id: Id<tags::AmlSubject>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), AmlError> {
        self.db
            .write(|tx| async move {
                if !aml::remove(&tx, &self.tenant, id).await? {
                    return Err(AmlError::NotFound);
                }
                let kind = change("delete", id, None, None);
                Ok(tx.emit(self.event(by, Some(origin), kind)).await?)
            })
            .await
    }
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
