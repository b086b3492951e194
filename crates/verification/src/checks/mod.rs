//! Checks of documents: each answers with a [`Report`] whose status and assurance are two things, and is in the
//! audit log before the answer.

mod anchors;
mod emrtd;
mod error;
mod face;
mod picture;
mod report;
mod service;
mod zone;

pub use anchors::{Imported, MasterListSigner, RefusedItem, TrustStore, Trusted};
pub use emrtd::{CHALLENGE_TTL, EmrtdAsked, EmrtdReport};
pub use error::CheckError;
pub(crate) use face::kept;
pub use face::{Consent, FaceReport, Taken};
pub use picture::{Barcode, BarcodeAsked, BarcodeReport, PictureReport};
pub use portcullis_capture::Quality;
pub use report::{Report, TrustUsed};
pub use service::{CheckParts, Checks};
pub use zone::{ZoneAsked, ZoneReport};
