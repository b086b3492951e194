//! The engine: `step(state, event) → (state, effects)`.

mod decide;
mod event;
mod run;
mod state;
mod walk;

pub use event::{Effect, Event, Facts, Happened, Outcome, Reason, Report, Verdict, Weight};
pub use run::{EVENTS_MAX, Refused, step};
pub use state::{By, Decision, Done, Phase, State, Status, Task, Trace, Vote};
