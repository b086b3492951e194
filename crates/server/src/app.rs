//! Putting the parts together, in the order in which they need each other.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use portcullis_api::Reload;
use portcullis_audit::Audit;
use portcullis_ca::Ca;
use portcullis_cluster::{
    ApiKeys, Blocks, Concurrency, LimitBlocks, Limiter, Quotas, Replays, Revocations,
};
use portcullis_egress::{Egress, system_resolver};
use portcullis_events::Event;
use portcullis_federation::UpstreamProvider;
use portcullis_gateway::{
    Counters, Gateway, LimitBlock, Minter, Overload, SessionState, Shared, Snapshot, SnapshotParts,
};
use portcullis_identity::{
    HashParameters, Hasher, Identity, MAX_TOKEN_LIFETIME, Parts, PasswordRules,
};
use portcullis_jose::{Alg, Verifier, access_token};
use portcullis_oidc::{
    CredentialSettings, Dpop, KeyRing, KeySchedule, KeyUse, Provider, Settings, proof_lifetime,
};
use portcullis_pages::Theme;
use portcullis_store::{CommitSink, Db, LogKeys, LogSealer, SinkFuture, clients, grants};
use portcullis_threat::SigmaRules;
use portcullis_types::{DEFAULT_TENANT, HashKey, SharedClock, SharedEntropy};
use portcullis_verification::{Aml, Checks, Presentations, Providers, Sessions, WEBHOOK_CALLS};
use tokio::sync::{mpsc, watch};

use crate::{
    certificates, checks,
    config::Config,
    doors::Doors,
    gate::Gate,
    parts::{self, login_providers, registration, staff_devices, theme},
    places::{self, Maps},
    quotas,
    record::{Record, audit_dir},
    reload::ReloadStatus,
    routes::{self, BuiltIn},
    screening, sessions,
    sinks::Sinks,
    system, tiles,
    traces::{self, Spans},
    traffic::Traffic,
    vault::Vault,
    wallets,
    watch::Feed,
};

/// Revocations made within this time are looked at again.
const REVOCATION_OVERLAP: Duration = Duration::from_secs(30);
/// Blocks by limits that wait to be stored.
const BLOCK_QUEUE: usize = 1_024;

/// Everything that runs.
pub struct App {
    pub config: Config,
    pub data: PathBuf,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
    pub identity: Identity,
    pub provider: Provider,
    pub gateway: Gateway,
    /// The certificate authority.
    pub ca: Arc<Ca>,
    pub audit: Audit,
    /// What the configuration in force made of the gate.
    pub gate: ArcSwap<Gate>,
    /// The way to issuers whose tokens are accepted.
    pub egress: Egress,
    /// What keeps browsers logged in at the gate.
    pub session_state: Arc<SessionState>,
    /// Whether there is too much to do.
    pub overload: Arc<Overload>,
    /// What was used of quotas.
    pub quotas: Arc<Quotas>,
    /// Events on their way to the detectors.
    pub feed: Arc<Feed>,
    /// The operator's own rules.
    pub sigma: ArcSwap<SigmaRules>,
    /// What passes, in numbers.
    pub traffic: Traffic,
    /// Who gets the record besides us.
    pub sinks: Sinks,
    /// Where addresses are.
    pub places: Arc<ArcSwap<Maps>>,
    /// Certificates of the listeners.
    pub doors: Doors,
    /// Held while the gate's snapshot is replaced, so that none is lost.
    pub(crate) swapping: tokio::sync::Mutex<()>,
    pub(crate) reload: ReloadStatus,
    /// Other providers that people may log in with.
    pub login_providers: Arc<Vec<UpstreamProvider>>,
    /// The look of the pages.
    pub theme: Arc<Theme>,
    /// The logs of this node.
    pub record: Arc<Record>,
    /// What became of spans.
    pub spans: Arc<Spans>,
    /// Screening against lists.
    pub aml: Aml,
    /// Checks of documents.
    pub checks: Checks,
    /// Sessions of verification.
    pub verification: Sessions,
    /// Requests to show credentials.
    pub presentations: Presentations,
    /// Turns true when everything ends.
    pub closing: OnceLock<watch::Receiver<bool>>,
}

/// What the tasks of [`crate::jobs`] receive.
pub struct Queues {
    pub limit_blocks: mpsc::Receiver<LimitBlock>,
}

/// Hands committed events to the log, once there is one.
#[derive(Default)]
pub struct AuditSink(OnceLock<Audit>);

impl CommitSink for AuditSink {
    fn committed<'a>(&'a self, events: &'a [Event]) -> SinkFuture<'a> {
        Box::pin(async move {
            let audit = self.0.get().ok_or(())?;
            audit.append(events.to_vec()).await.map_err(drop)
        })
    }
}

impl App {
    /// Builds everything and brings it to the state it was in when it stopped.
    pub async fn build(config: Config, data: &Path) -> Result<(Self, Queues)> {
        let (clock, entropy) = (system::clock(), system::entropy());
        let sink = Arc::new(AuditSink::default());
        let url = parts::database_url(&config, data);
        let db = Db::open(&url, sink.clone()).await.context("open the database")?;
        let vault = Vault::open(&config, data, db.clone(), entropy.clone()).await?;

        let (record, log) = Record::open(&vault, data, &config.issuer, &clock, &entropy).await?;
        let feed = Arc::<Feed>::default();
        let fed = feed.clone();
        let watcher = Arc::new(move |event: &Arc<Event>| fed.push(event));
        let log_keys = Arc::new(log_keys(&vault, &clock, &entropy));
        db.seal_events(log_keys.clone());
        vault.vouch_for_events().await?;
        let runtime = tokio::runtime::Handle::current();
        let sealer = LogSealer { db: db.clone(), keys: log_keys.clone(), runtime };
        let audit = Audit::start(log, Some(watcher), Some(Arc::new(sealer)))?;
        let _ = sink.0.set(audit.clone());

        let log = (audit.clone(), audit_dir(data), log_keys);
        let identity = identity(&config, &vault, db, log, &clock, &entropy).await?;
        let keys = key_ring(&config, &identity.db, &vault, &entropy);
        keys.refresh(clock.now()).await.context("load the signing keys")?;
        check_algorithms(&identity.db, &config).await?;
        let settings = Settings {
            access_token_lifetime: config.tokens.access_token_lifetime,
            refresh_token_lifetime: config.tokens.refresh_token_lifetime,
            status_list_lifetime: config.tokens.status_list_lifetime,
            mesh_url: config.mesh_url(),
            registration: registration(&config),
            self_signed_clients: config.tls.self_signed_clients,
            trust_frameworks: config.verification.trust_frameworks.clone(),
            proofs: config.verification.proofs()?,
            credentials: config
                .verification
                .credentials
                .as_ref()
                .map(|credentials| CredentialSettings { lifetime: credentials.lifetime() }),
            ..Settings::new(&config.issuer)
        };
        let egress = egress(&config)?;
        // Its own way out, so that slow clients of ours do not keep people from logging in.
        let login_providers = Arc::new(login_providers(&config, &self::egress(&config)?)?);
        let theme = Arc::new(theme(&config)?);
        let dpop = Dpop::new(vault.random("dpop_nonce_key").await?.expose(), &*entropy);
        let provider = Provider::new(
            settings,
            identity.clone(),
            keys,
            dpop,
            egress.clone(),
            vault.random("pairwise_key").await?.expose(),
        );
        let ca = certificates::open(&config, &vault, &identity.db, &clock, &entropy).await?;
        certificates::publish(&ca, data)?;
        let stored = (identity.db.clone(), sink as Arc<dyn CommitSink>);
        let checks = checks::open((&config, &vault), stored.clone(), &clock, &entropy).await?;
        let aml = screening::open(&config, data, &vault, stored, &clock, &entropy).await?;
        let way_out = (&checks, &aml, egress_for(&config, WEBHOOK_CALLS)?);
        let providers = parts::check_providers(&config)?;
        let way_out_of_checks = egress_for(&config, Providers::calls(providers.len()))?;
        let providers = Providers::new(providers, way_out_of_checks);
        let places = Arc::new(ArcSwap::from_pointee(Maps::open(&config)?));
        let addresses = places::addresses(places.clone());
        let frameworks = (&config, providers, addresses);
        let verification =
            checks::sessions(&vault, &identity.db, way_out, frameworks, &clock, &entropy).await?;
        let egress_of_wallets = self::egress(&config)?;
        let presentations =
            wallets::open(&config, &provider, &ca.identities, egress_of_wallets, &verification)?;
        // The same for issuers of tokens.
        let issuers = self::egress(&config)?;
        let gate = Gate::build(config.clone(), &ca.identities, &entropy, &issuers, None)?;
        let doors = Doors::open(&config, &ca.identities)?;
        let sigma = ArcSwap::new(crate::sigma::load(&config, None)?);
        let reload = ReloadStatus::new(&config, clock.now());

        let key = vault.random("quota_key").await?;
        let key = *key.expose().first_chunk().context("the quota key is too short")?;
        let quotas = Arc::new(Quotas::new(HashKey::from_bytes(key)));
        let key = vault.random("gate_session_key").await?;
        let session_state = SessionState::new(key.expose(), entropy.clone());
        let session_state = session_state.context("the session key is too short")?;
        let overload = Overload::new(&*entropy);
        tokio::spawn(Overload::watch(Arc::downgrade(&overload)));
        let (blocked, limit_blocks) = mpsc::channel(BLOCK_QUEUE);
        let recorder = audit.clone();
        let (tracing, spans) = traces::start(&config, &record.prefix)?;
        let shared = Shared {
            counters: Counters {
                limiter: identity.limiter.clone(),
                quotas: quotas.clone(),
                concurrency: Concurrency::new(&*entropy),
            },
            overload: overload.clone(),
            blocks: identity.blocks.clone(),
            revocations: identity.revocations.clone(),
            replays: Arc::new(Replays::new(proof_lifetime(), &*entropy)),
            api_keys: identity.api_keys.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            record: Arc::new(move |event| recorder.record(event)),
            tracing,
            limit_blocked: Arc::new(move |block| drop(blocked.try_send(block))),
        };
        let gateway = Gateway::new(
            snapshot(
                &gate,
                &provider,
                &ca,
                (&login_providers, &theme),
                (&reload.handle, &aml, &checks, &presentations),
                &session_state,
                (&audit_dir(data), record.node()),
            )?,
            shared,
        );
        let data = data.to_owned();
        let app = Self {
            config,
            data,
            clock,
            entropy,
            identity,
            provider,
            gateway,
            ca,
            audit,
            gate: ArcSwap::from_pointee(gate),
            egress: issuers,
            session_state,
            overload,
            quotas,
            feed,
            sigma,
            traffic: Traffic::default(),
            sinks: Sinks::default(),
            places,
            doors,
            swapping: tokio::sync::Mutex::default(),
            reload,
            login_providers,
            theme,
            record: Arc::new(record),
            spans,
            aml,
            checks,
            verification,
            presentations,
            closing: OnceLock::new(),
        };
        app.restore().await?;
        sessions::register(&app, &app.config).await?;
        Ok((app, Queues { limit_blocks }))
    }

    /// Blocks, keys and revocations as they were before the stop.
    async fn restore(&self) -> Result<()> {
        self.traffic.activity.follow(self.gateway.snapshot().routes());
        let now = self.clock.now();
        self.identity.reload_blocks().await?;
        self.identity.reload_api_keys().await?;
        self.provider.reload_resource_servers().await?;
        let rows = grants::live_revocations(&self.identity.db, DEFAULT_TENANT, now).await?;
        self.identity.apply(&rows, now);
        quotas::restore(self).await
    }

    /// Takes in revocations of the last seconds that another process made, or whose request ended
    /// in an error after its commit.
    pub async fn reload_revocations(&self) -> Result<()> {
        let now = self.clock.now();
        let since = now.plus(MAX_TOKEN_LIFETIME).minus(REVOCATION_OVERLAP);
        let rows = grants::live_revocations(&self.identity.db, DEFAULT_TENANT, since).await?;
        self.identity.apply(&rows, now);
        Ok(())
    }

    /// Swaps in new signing keys, if there are any: made by the schedule, by another node, or by an
    /// administrator.
    pub async fn refresh_keys(&self) -> Result<()> {
        let _swapping = self.swapping.lock().await;
        if self.provider.keys.refresh(self.clock.now()).await? {
            self.gateway.swap(self.snapshot(&self.gate.load())?);
        }
        Ok(())
    }

    /// The gate as `gate` and the key ring have it now.
    pub(crate) fn snapshot(&self, gate: &Gate) -> Result<Snapshot> {
        let Self { provider, ca, login_providers, theme, reload, session_state, .. } = self;
        let log = (&audit_dir(&self.data), self.record.node());
        snapshot(
            gate,
            provider,
            ca,
            (login_providers, theme),
            (&reload.handle, &self.aml, &self.checks, &self.presentations),
            session_state,
            log,
        )
    }
}

/// The way out, under the rules of the file.
pub fn egress(config: &Config) -> Result<Egress> {
    egress_for(config, portcullis_egress::MAX_CALLS)
}

/// The same for so many calls at once.
pub fn egress_for(config: &Config, calls: usize) -> Result<Egress> {
    let read = |path: &PathBuf| {
        let path = config.path(path);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let ca_pem = config.egress.ca.as_ref().map(read).transpose()?;
    let settings = portcullis_egress::Settings { allow: config.egress.allow.clone(), ca_pem };
    Egress::with_calls(settings, system_resolver(), calls).context("egress")
}

/// The keys of what the log says of people.
pub fn log_keys(vault: &Vault, clock: &SharedClock, entropy: &SharedEntropy) -> LogKeys {
    LogKeys::new(DEFAULT_TENANT, vault.sealer.clone(), clock.clone(), entropy.clone())
}

/// The ring of signing keys, not loaded yet.
pub fn key_ring(config: &Config, db: &Db, vault: &Vault, entropy: &SharedEntropy) -> KeyRing {
    let schedule = KeySchedule {
        algorithms: config.keys.algorithms.iter().map(|alg| alg.alg()).collect(),
        signs_for: config.keys.signs_for,
        published_before: config.keys.published_before,
        published_after: config.keys.published_after,
        credentials: config.verification.credentials.is_some(),
    };
    KeyRing::new(DEFAULT_TENANT, db.clone(), vault.sealer.clone(), entropy.clone(), schedule)
}

/// Nobody may be left with an algorithm that has no keys any more.
async fn check_algorithms(db: &Db, config: &Config) -> Result<()> {
    for alg in Alg::SIGNING.map(Alg::as_str) {
        if config.keys.algorithms.iter().any(|own| own.alg().as_str() == alg) {
            continue;
        }
        let clients = clients::with_algorithm(db, DEFAULT_TENANT, alg).await?;
        ensure!(
            clients == 0,
            "{clients} clients are registered with {alg}, which keys.algorithms leaves out; move \
             them first: portcullis keys migrate --from {alg} --to …"
        );
    }
    Ok(())
}

async fn identity(
    config: &Config,
    vault: &Vault,
    db: Db,
    (audit, log_dir, log_keys): (Audit, PathBuf, Arc<LogKeys>),
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Identity> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let passwords = &config.passwords;
    let parameters = HashParameters {
        memory_kib: passwords.memory_kib,
        passes: passwords.passes,
        concurrency: if passwords.concurrency == 0 { cores } else { passwords.concurrency },
    };
    let blocklist = match &passwords.blocklist {
        Some(path) => {
            let path = config.path(path);
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?
        }
        None => String::new(),
    };
    Ok(Identity::new(Parts {
        tenant: DEFAULT_TENANT.to_owned(),
        issuer: config.issuer.clone(),
        db,
        audit,
        log_dir,
        log_keys,
        clock: clock.clone(),
        entropy: entropy.clone(),
        hasher: Hasher::new(parameters, entropy.clone())?,
        staff_devices: staff_devices(config)?,
        rules: PasswordRules::with_blocklist(&blocklist),
        sealer: vault.sealer.clone(),
        pseudonym_key: vault.random("pseudonym_key").await?.expose().clone(),
        revocations: Arc::new(Revocations::new(&**entropy)),
        blocks: Arc::new(Blocks::default()),
        suspects: Arc::new(Blocks::default()),
        delays: Arc::default(),
        limit_blocks: Arc::new(LimitBlocks::default()),
        limiter: Arc::new(Limiter::new(&**entropy)),
        api_keys: Arc::new(ApiKeys::default()),
    }))
}

/// The routes and keys of the gate as the configuration and the key ring have them now.
fn snapshot(
    gate: &Gate,
    provider: &Provider,
    ca: &Arc<Ca>,
    (login_providers, theme): (&Arc<Vec<UpstreamProvider>>, &Arc<Theme>),
    (reload, aml, checks, presentations): (&Reload, &Aml, &Checks, &Presentations),
    session_state: &Arc<SessionState>,
    (log_dir, log_name): (&PathBuf, &str),
) -> Result<Snapshot> {
    let config = &gate.config;
    let identity = &provider.identity;
    let oidc = portcullis_oidc::router(provider.clone());
    let sessions = sessions::build(config, &routes::local(oidc.clone()), session_state)?;
    let built_in = BuiltIn {
        oidc,
        pages: portcullis_pages::router(
            identity.clone(),
            provider.clone(),
            login_providers.clone(),
            theme.clone(),
            presentations.clone(),
        ),
        api: portcullis_api::router(
            identity.clone(),
            provider.clone(),
            reload.clone(),
            (aml.clone(), checks.clone(), presentations.clone()),
        ),
        wallets: portcullis_api::wallet_router(presentations.clone()),
        matches: portcullis_api::match_router(aml.clone()),
        console: portcullis_console::router(&config.issuer, identity.entropy.clone()),
        pki: certificates::router(config, ca)?,
        log: (tiles::router(log_dir.clone(), log_name), log_name.to_owned()),
    };
    let routes = routes::all(gate, built_in)?;
    let keys = provider.keys.current();
    let preferred = provider.keys.schedule().preferred();
    let key = keys.signing(KeyUse::Upstream, preferred).context("there is no key for tokens")?;
    let key = key.clone();
    let issuer = config.issuer.clone();
    let verifier = Verifier::new(&issuer, &issuer, access_token::TYP, &Alg::SIGNING);
    let minter = Minter { issuer, key };
    Ok(Snapshot::new(SnapshotParts {
        routes,
        verifier,
        keys: keys.verifying(KeyUse::AccessToken).to_vec(),
        minter,
        trusted_proxies: config.client_address.trusted_proxies.clone(),
        proxy_protocol: config.client_address.proxy_protocol,
        hosts: config.own_hosts(),
        remembered_tokens: config.tokens.remembered,
        policies: gate.policies.clone(),
        sessions,
    })?)
}
