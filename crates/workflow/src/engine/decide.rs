//! What all checks come to.

use super::state::{Done, State};
use crate::validate::Plan;
use crate::{
    engine::event::{Verdict, Weight},
    value::CheckStatus,
};

/// What follows from what all checks came to; `None`: people decide.
///
/// One that failed declines. One that a person should look at, that could not be done, or that was not done
/// although the graph does not say how to go on without it, is for people. Only checks that passed approve,
/// and at least one of them has to be there.
pub(super) fn fold(plan: &Plan, state: &State) -> (Option<Verdict>, Option<String>) {
    let gravest = |done: &Done| {
        let reasons = done.report.iter().flat_map(|report| &report.reasons);
        let failure = reasons.filter(|reason| reason.severity == Weight::Failure);
        failure.map(|reason| reason.code.to_uppercase()).next()
    };
    let mut failed: Vec<_> = state.done.iter().collect();
    failed.retain(|(_, done)| done.status == CheckStatus::Failed);
    if let Some((node, failed)) = failed.into_iter().min_by_key(|(_, done)| done.order) {
        // The words of somebody else are no reason of ours: it stands in the log for good.
        let own = plan.check(node).is_none_or(|check| check.provider.is_none());
        let reason = gravest(failed).filter(|_| own).unwrap_or_else(|| "CHECK_FAILED".to_owned());
        return (Some(Verdict::Declined), Some(reason));
    }
    let done: Vec<&Done> = state.done.values().collect();
    let settled = |done: &&Done| done.status == CheckStatus::Passed || done.is_accepted;
    let passed = done.iter().any(|done| done.status == CheckStatus::Passed);
    if passed && done.iter().all(settled) { (Some(Verdict::Approved), None) } else { (None, None) }
}
