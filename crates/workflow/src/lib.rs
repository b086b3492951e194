//! Workflows of identity verification: what is checked in what order, and what follows from it.
//!
//! A [`Graph`] is what somebody drew. [`validate`] finds everything that is wrong with it, or makes a [`Plan`].
//! [`step`] is the engine: from a [`State`], an [`Event`] and a time it makes the next state and the
//! [`Effect`]s that somebody has to bring about. It does nothing itself, so the same events always come to the
//! same state, in a test, in a simulation and after a crash alike.

mod catalogue;
mod condition;
mod engine;
mod graph;
mod question;
mod read;
mod simulate;
mod span;
mod validate;
mod value;

pub use catalogue::{CATALOGUE, CheckSpec, FieldSpec, Input, SESSION_FIELDS, check_spec};
pub use condition::{CEL_MAX_BYTES, Condition, Field, Op, Operand, Pattern};
pub use engine::{
    By, Decision, Done, EVENTS_MAX, Effect, Event, Facts, Happened, Outcome, Phase, Reason,
    Refused, Report, State, Status, Task, Trace, Verdict, Vote, Weight, step,
};
pub use graph::{
    Branch, Case, Check, Decide, Edge, Fallback, Graph, Join, JoinMode, LABEL_MAX_CHARS, Limits,
    NODES_MAX, Node, Parallel, Retry, Review, Rule, SCHEMA, Set, SetTo, TEXT_MAX_BYTES, Verifies,
    Visits, Wait, Webhook,
};
pub use question::{Choice, QUESTIONS_MAX, Question, QuestionKind, Said, said};
pub use read::{GraphError, is_name};
pub use simulate::{Fixture, Simulated, simulate};
pub use span::Span;
pub use validate::{
    ENROLLED, FieldAt, Lane, Plan, Problem, Severity, fields_at, is_trust_framework, validate,
};
pub use value::{Assurance, CheckStatus, Kind, Value, Values};
