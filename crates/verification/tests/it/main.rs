//! Screening as a service, on SQLite and PostgreSQL alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod checks;
mod faces;
mod monitoring;
mod reviews;
mod screening;
mod seen;
mod sessions;
mod webhooks;
mod world;
