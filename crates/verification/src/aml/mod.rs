mod error;
mod fate;
mod keep;
mod list;
mod merge;
mod meter;

mod monitor;
mod review;
mod screen;
mod service;
mod shown;

mod subject;

mod terms;

pub use error::AmlError;
pub use list::{Changes, ListError, ListHit, ListVersion, Lists, ScreeningList, Wanted};
pub use review::{ALLOW_MAX, NOTE_MAX_CHARS, Resolution, Reviewer, STATES, State};
pub use screen::{Asked, HITS_MAX, REFERENCE_MAX_BYTES, Screened, ScreenedHit, Used};
pub use service::{Aml, AmlParts, Settings};
pub use shown::Shown;
pub use terms::{AskedTerms, THRESHOLD_MIN, Terms};
