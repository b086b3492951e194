//! What the API asks of the running process that it is part of.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use portcullis_events::{Actor, Origin};

use crate::{
    ActivityView, ApiError, AuthoritiesView, CertificatesOf, CheckedView, ConfigurationStatus,
    ControlsView, EnrolmentView, ExplainInput, GatewayView, SinkTestView, SinkView, StageView,
};

/// What comes of it; nothing while the process starts or ends.
pub type Told<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// The running process.
pub trait Process: Send + Sync {
    /// How the configuration is, after it was read again if that is asked for.
    fn configuration(&self, again: bool) -> Told<ConfigurationStatus>;

    /// What would come of another one.
    fn check(&self, text: String) -> Told<CheckedView>;

    /// Who signs certificates, and what listeners show.
    fn authorities(&self) -> Option<AuthoritiesView>;

    /// Takes certificates back, and tells how many.
    fn revoke_certificates(
        &self,
        which: CertificatesOf,
        compromised: bool,
        who: (Actor, Origin),
    ) -> Told<Result<u64, ApiError>>;

    /// Makes a token for one certificate of a workload.
    fn enrol(
        &self,
        spiffe_id: String,
        names: Vec<String>,
        lifetime: Duration,
        who: (Actor, Origin),
    ) -> Told<Result<EnrolmentView, ApiError>>;

    /// Receivers of events.
    fn sinks(&self) -> Option<Vec<SinkView>>;

    /// Sends one of them an event; the inner nothing is a name that none has.
    fn try_sink(&self, name: String, actor: Actor, origin: Origin) -> Told<Option<SinkTestView>>;

    /// Waits until it ends.
    fn closing(&self) -> Told<()>;

    /// Controls as they are.
    fn controls(&self) -> Told<ControlsView>;

    /// Until when the log tells who it was, of accounts and of others.
    fn log_keeps(&self) -> (String, String);

    /// The gate as it stands.
    fn gateway(&self) -> Option<GatewayView>;

    /// What it does now.
    fn activity(&self) -> Option<ActivityView>;

    /// What its stages would say to a request.
    fn explain(&self, input: ExplainInput) -> Told<Vec<StageView>>;
}

/// The way to the running process.
#[derive(Clone)]
pub struct Reload(pub(crate) Arc<dyn Process>);

impl Reload {
    /// To this one.
    pub fn new(process: impl Process + 'static) -> Self {
        Self(Arc::new(process))
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}
