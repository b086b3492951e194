//! What the nodes of an installation share: rate counters, blocks and revocations.
//!
//! One node keeps them in its own memory; tables are of fixed size and keyed, so that whoever
//! chooses addresses, names or tokens can neither grow nor aim at them.

mod api_keys;
mod blocks;
mod concurrency;
mod limiter;
mod places;
mod quotas;
mod replays;
mod revocations;

pub use api_keys::{ApiKeyInfo, ApiKeys};
pub use blocks::{Block, Blocks, LimitBlocks, addr_limit_key};
pub use concurrency::{Concurrency, Full, Place as ConcurrencyPlace};
pub use limiter::{Allowance, Decision, Limiter, Rate, RateError};
pub use places::{Place, Places};
pub use quotas::{Period, QuotaDecision, QuotaRow, Quotas};
pub use replays::Replays;
pub use revocations::{Revocations, Revoked, TokenFacts};
