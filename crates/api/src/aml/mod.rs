//! Screening: subjects against lists, what people decide about hits, and who is monitored.

mod batch;
mod hits;
mod lists;
mod match_api;
mod screen;
mod subjects;

pub use match_api::{MATCH_PATHS, match_router};

use crate::endpoint::Endpoint;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    [screen::endpoints(), subjects::endpoints(), hits::endpoints(), lists::endpoints()].concat()
}
