//! Identity verification: workflows and their sessions, and checks of documents one by one.

mod alone;
mod cases;
mod emrtd;
mod evidence;
mod faces;
mod given;
mod identities;
mod input;
mod lists;
mod mrz;
mod picture;
mod presentations;
mod report;
mod reviewing;
mod sessions;
mod signals;
mod trust;
mod webhooks;
mod workflows;

pub use sessions::report_views;

use crate::endpoint::Endpoint;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    [
        mrz::endpoints(),
        emrtd::endpoints(),
        picture::endpoints(),
        signals::endpoints(),
        alone::endpoints(),
        trust::endpoints(),
        workflows::endpoints(),
        sessions::endpoints(),
        reviewing::endpoints(),
        cases::endpoints(),
        lists::endpoints(),
        faces::endpoints(),
        evidence::endpoints(),
        identities::endpoints(),
        webhooks::endpoints(),
        presentations::endpoints(),
    ]
    .concat()
}
