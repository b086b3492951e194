//! Workflows: graphs, conditions, the engine.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod conditions;
mod engine;
mod graphs;
mod sequences;
mod world;
