//! Detection: `(event, now) → finding`, in tables of fixed size, in constant time for each event.
//!
//! [`Watch`] sees events as they happen, before they are durable, and knows things that never reach
//! the log, such as the fingerprint of a failed password. Each [`Rule`] has a name, an ATT&CK
//! technique, thresholds that can be set ([`Rules`]) and an answer, which others carry out.

mod baseline;
mod detect;
mod finding;
mod hours;
mod lists;
mod places;
mod recent;
mod rules;
mod sight;
mod sigma;
mod table;
mod watch;

pub use baseline::{Learned, Subject};
pub use finding::{Finding, Source};
pub use lists::{AddrList, BadLine};
pub use places::{Hidden, Nowhere, Place, Places};
pub use rules::*;
pub use sigma::{ALIASES, About, Sigma, SigmaError, SigmaFact, SigmaMatch, SigmaRules};
pub use watch::Watch;
