//! Pictures that people gave: sealed with the key of their session, for as long as somebody may have to look at
//! them, and gone before it.

use portcullis_capture::Photo;
use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::{
    Tx,
    idv::pictures::{self, PictureRow},
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::CheckStatus;

use super::{Open, SessionError, Sessions};
use crate::checks::kept;

/// A picture that was given for a step.
#[derive(Debug, Clone)]
pub struct SessionPicture {
    /// The step.
    pub node: String,
    /// `selfie`, `portrait`, `document`
    pub kind: String,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it goes.
    pub expires_at: Timestamp,
}

/// A picture that goes with what is given for a step.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub kind: &'static str,
    pub jpeg: Vec<u8>,
}

impl From<PictureRow> for SessionPicture {
    fn from(row: PictureRow) -> Self {
        let PictureRow { node, kind, created_at, expires_at, .. } = row;
        Self { node, kind, created_at, expires_at }
    }
}

fn purpose(id: Id<tags::IdvSession>, node: &str) -> String {
    Open::purpose(id, &format!("picture:{node}"))
}

impl Sessions {
    /// The pictures of a session that are still there.
    pub async fn pictures(
        &self,
        id: Id<tags::IdvSession>,
    ) -> Result<Vec<SessionPicture>, SessionError> {
        self.row(id).await?;
        let rows = pictures::all(&self.db, &self.tenant, id, self.now()).await?;
        Ok(rows.into_iter().map(SessionPicture::from).collect())
    }

    /// One of them, a JPEG. The log says who looked at it.
    pub async fn picture(
        &self,
        id: Id<tags::IdvSession>,
        node: &str,
        (by, origin): (&Actor, &Origin),
    ) -> Result<Vec<u8>, SessionError> {
        let shown = self.db.write(|tx| async move {
            let open = self.open(&tx, id).await?;
            let row = pictures::by_node(&tx, &self.tenant, (id, node), self.now()).await?;
            let row = row.ok_or(SessionError::NotFound)?;
            let jpeg = open.key.open(&purpose(id, node), &row.sealed)?;
            let node = Some(node.to_owned());
            let told = Verification { change: "picture_shown", node, ..self.about_row(&open.row) };
            tx.emit(self.event(by, Some(origin), Kind::Verification(told))).await?;
            Ok(jpeg)
        });
        shown.await
    }

    /// Keeps a picture with the step that it was given for and what was found in it; where there is none, what was
    /// given before is forgotten.
    pub(super) async fn keep_picture(
        &self,
        tx: &Tx,
        open: &Open,
        (node, report): (&str, Option<&str>),
        picture: Option<&Picture>,
    ) -> Result<(), SessionError> {
        let (id, now) = (open.row.id, self.now());
        let (Some(picture), Some(report)) = (picture, report) else {
            return Ok(pictures::remove(tx, &self.tenant, (id, node)).await?);
        };
        let row = PictureRow {
            node: node.to_owned(),
            kind: picture.kind.to_owned(),
            report: report.to_owned(),
            sealed: open.key.seal(&purpose(id, node), &picture.jpeg, &*self.entropy)?,
            created_at: now,
            expires_at: now.plus(self.keep_pictures),
        };
        Ok(pictures::put(tx, &self.tenant, id, &row).await?)
    }

    /// The picture that a node came to its report by, if it did not fail and the picture is still there.
    pub(super) async fn picture_of(
        &self,
        open: &Open,
        node: &str,
    ) -> Result<Option<Vec<u8>>, SessionError> {
        let done = open.state.done.get(node).filter(|done| done.status != CheckStatus::Failed);
        let Some(report) = done.and_then(|done| done.report.as_ref()) else { return Ok(None) };
        let id = open.row.id;
        let row = pictures::by_node(&self.db, &self.tenant, (id, node), self.now()).await?;
        let Some(row) = row.filter(|row| row.report == report.id) else { return Ok(None) };
        Ok(Some(open.key.open(&purpose(id, node), &row.sealed)?))
    }

    /// The last picture of the person that was taken.
    pub(super) async fn selfie_of(&self, open: &Open) -> Result<Option<Vec<u8>>, SessionError> {
        let is_selfie = |node: &str| open.plan.check(node).is_some_and(|one| one.check == "selfie");
        let done = open.state.done.iter().filter(|(node, _)| is_selfie(node));
        match done.max_by_key(|(_, done)| done.order) {
            Some((node, _)) => self.picture_of(open, node).await,
            None => Ok(None),
        }
    }
}

/// The portrait of a chip as it is kept; `None` if there is none that can be decoded.
pub(super) fn portrait(file: &[u8]) -> Option<Picture> {
    let photo = Photo::portrait(portcullis_documents::portrait(file).ok()?).ok()?;
    Some(Picture { kind: "portrait", jpeg: kept(photo)? })
}

/// A picture of a document as it is kept.
pub(super) fn document(bytes: &[u8]) -> Option<Picture> {
    Some(Picture { kind: "document", jpeg: kept(Photo::decode(bytes).ok()?)? })
}
