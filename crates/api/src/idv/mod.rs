//! Identity verification: checks of documents, one by one.

mod emrtd;
mod input;
mod mrz;
mod picture;
mod report;
mod trust;

use crate::endpoint::Endpoint;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    [mrz::endpoints(), emrtd::endpoints(), picture::endpoints(), trust::endpoints()].concat()
}
