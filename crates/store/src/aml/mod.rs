//! Screening: whom it is about, whom they may be, and how far they were compared with each list.

mod hits;
mod lists;
mod subjects;

pub use hits::{
    HitFilter, HitRow, by_id as hit_by_id, expired, insert as insert_hit, of_subject, of_subjects,
    page as hits, update as update_hit,
};
pub use lists::{ListRow, begin, finish, note, progress, reinstate, retire, step};
pub use subjects::{
    SubjectRow, by_id, by_reference, found, insert, mark, mark_terms, monitored_after, page,
    policies, remove, to_recheck, update, versions,
};
