//! What all checks come to.

use super::state::{Done, State};
use crate::{
    engine::event::{Verdict, Weight},
    value::CheckStatus,
};

/// What follows from what all checks came to; `None`: people decide.
///
/// One that failed declines. One that a person should look at, that could not be done, or that was not done
/// although the graph does not say how to go on without it, is for people. Only checks that passed approve,
/// and at least one of them has to be there.
pub(super) fn fold(state: &State) -> (Option<Verdict>, Option<String>) {
    let gravest = |done: &Done| {
        let reasons = done.report.iter().flat_map(|report| &report.reasons);
        let failure = reasons.filter(|reason| reason.severity == Weight::Failure);
        failure.map(|reason| reason.code.to_uppercase()).next()
    };
    let mut done: Vec<&Done> = state.done.values().collect();
    done.sort_by_key(|done| done.order);
    if let Some(failed) = done.iter().find(|done| done.status == CheckStatus::Failed) {
        let reason = gravest(failed).unwrap_or_else(|| "CHECK_FAILED".to_owned());
        return (Some(Verdict::Declined), Some(reason));
    }
    let settled = |done: &&Done| done.status == CheckStatus::Passed || done.is_accepted;
    let passed = done.iter().any(|done| done.status == CheckStatus::Passed);
    if passed && done.iter().all(settled) { (Some(Verdict::Approved), None) } else { (None, None) }
}
