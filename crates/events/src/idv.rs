//! Identity verification as OCSF has it.

use serde_json::{Value, json};

use crate::{Check, Event, Screening, Verification, clean, ocsf::actor};

pub(crate) fn screened(event: &Event, screening: &Screening) -> Value {
    let lists = screening.lists.iter();
    let lists = lists
        .map(|list| json!({ "name": list.name, "version": list.version, "digest": list.digest }));
    let changes = screening.changes.iter().map(|change| {
        json!({
            "change": change.change,
            "hit": change.hit,
            "list": change.list,
            "entity": clean(&change.entity),
            "score": change.score,
        })
    });
    json!({
        "actor": actor(&event.actor),
        "entity": {
            "uid": screening.subject.as_ref().unwrap_or(&screening.digest),
            "type": "aml_subject",
        },
        "unmapped": {
            "cause": screening.cause,
            "subject_digest": screening.digest,
            "lists": lists.collect::<Value>(),
            "policy": screening.policy,
            "policy_hash": screening.policy_hash,
            "threshold": screening.threshold,
            "topics": screening.topics,
            "filter": screening.filter.as_deref().map(clean),
            "hits": screening.hits,
            "changes": changes.collect::<Value>(),
        },
    })
}

pub(crate) fn checked(event: &Event, check: &Check) -> Value {
    json!({
        "actor": actor(&event.actor),
        "entity": { "uid": check.report, "type": "idv_report" },
        "unmapped": {
            "check": check.check,
            "status": check.status,
            "assurance": check.assurance,
            "codes": check.codes,
            "inputs_hash": check.inputs_hash,
            "trust": check.trust,
        },
    })
}

pub(crate) fn verification(event: &Event, session: &Verification) -> Value {
    let reports = session.reports.iter().map(|used| {
        json!({
            "node": clean(&used.node),
            "report": used.report,
            "status": used.status,
            "assurance": used.assurance,
        })
    });
    json!({
        "actor": actor(&event.actor),
        "entity": { "uid": session.session, "type": "idv_session" },
        "unmapped": {
            "change": session.change,
            "status": session.status,
            "version": session.version,
            "workflow": session.workflow,
            "workflow_version": session.workflow_version,
            "workflow_digest": session.workflow_digest,
            "assignee": session.assignee,
            "node": session.node.as_deref().map(clean),
            "report": session.report,
            "verdict": session.verdict,
            "reason": session.reason.as_deref().map(clean),
            "decided_by": session.decided_by,
            "evidence": session.evidence,
            "verified": session.verified,
            "accounts": session.account.iter().collect::<Vec<_>>(),
            "reports": reports.collect::<Value>(),
            "trace": session.trace.iter().map(|step| clean(step)).collect::<Vec<_>>(),
        },
    })
}
