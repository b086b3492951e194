//! The JSON APIs: a person's own account, administration, and screening.
//!
//! [`endpoints`] is the one table of everything there is: path, method, who may call, what goes in
//! and out. The router, the gate's routes, the OpenAPI document and the denial tests all come from
//! it, so an endpoint without an entry does not exist.

mod account;
mod admin_access;
mod admin_cases;
mod admin_certificates;
mod admin_clients;
mod admin_compliance;
mod admin_configuration;
mod admin_gateway;
mod admin_groups;
mod admin_invitations;
mod admin_keys;
mod admin_log;
mod admin_measures;
mod admin_resources;
mod admin_roles;
mod admin_sinks;
mod admin_subject_requests;
mod admin_users;
mod aml;
mod idv;

mod call;
mod client_view;
mod collateral;
mod dangerous;
mod endpoint;
mod error;
mod measures;
mod openapi;
mod process;
mod reviewer;
mod wallets;

pub use admin_certificates::{
    AuthoritiesView, AuthorityView, CertificatesOf, EnrolmentView, ListenerView,
};
pub use admin_compliance::{ControlView, ControlsView, FactView};
pub use admin_configuration::{CheckedView, ConfigurationStatus, MistakeView};
pub use admin_gateway::{
    ActivityView, ConsumedView, ConsumerView, ExplainInput, FieldInput, GatewayView, LearnedView,
    LimitView, RefusedView, RouteActivity, ServerView, StageView, UpstreamView,
};
pub use admin_sinks::{SinkFailureView, SinkTestView, SinkView};
pub use aml::{MATCH_HEALTH_PATHS, MATCH_PATHS, match_router};
pub use call::Caller;
pub use endpoint::{Api, Endpoint, Permission, endpoints, router};
pub use error::{ApiError, Violation};
pub use idv::report_views;
pub use openapi::document;
pub use process::{Process, Reload, Told};
pub use wallets::wallet_router;
