//! The memory that a request takes whose token is remembered: counted on the one thread of a gate
//! that a real client talks to over TLS and that talks to a real service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use allocation_counter::AllocationInfo;
use arc_swap::ArcSwap;
use portcullis_cluster::{
    ApiKeys, Blocks, Concurrency, Limiter, Quotas, Rate, Replays, Revocations,
};
use portcullis_gateway::{
    AuthKind, Cookies, Counted, Counters, DEFAULT_BODY_LIMIT, Door, Gateway, LimitKey, LimitKind,
    LimitRule, Listener, ListenerKind, Minter, Overload, Priority, Protocol, Route, Server, Shared,
    Snapshot, SnapshotParts, Target, Upstream, UpstreamSettings, serve,
};
use portcullis_jose::{
    Alg, Audience, JwkSet, SigningKey, Verifier,
    access_token::{self, AccessClaims},
    sign,
};
use portcullis_pki::{
    Authority, Identity, ServerIdentity, Subject, Trust, client_config, new_key, public_config,
};
use portcullis_testkit::{FixedClock, START, SeededEntropy};
use portcullis_types::HashKey;
use rustls::{ClientConnection, StreamOwned, pki_types::CertificateDer};
use tokio::sync::watch;

const ISSUER: &str = "https://id.example";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Requests before anything is counted, of each token.
const WARM: usize = 3;
const COUNTED: usize = 400;

/// A service that answers every request with the same 500 bytes, each connection on a thread.
fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(489));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() && stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

fn token(key: &SigningKey, number: usize) -> String {
    let claims = AccessClaims {
        iss: ISSUER.into(),
        sub: format!("usr_{number:08}"),
        aud: Audience::One(ISSUER.into()),
        exp: START.plus(Duration::from_secs(300)).secs(),
        iat: START.secs(),
        jti: format!("tok_{number:08}"),
        client_id: "web".into(),
        scope: "orders".into(),
        auth_time: None,
        acr: None,
        sid: None,
        grant_id: Some(format!("grt_{number:08}")),
        preferred_username: None,
        groups: Vec::new(),
        roles: Vec::new(),
        act: None,
        cnf: None,
        status: None,
    };
    sign(key, access_token::TYP, &claims).unwrap()
}

fn route(number: usize, upstream: &Arc<Upstream>) -> Route {
    let allowance = Rate { count: 1_000_000, per: Duration::from_secs(1) }.into();
    let rule = LimitRule {
        name: format!("limit-{number}"),
        keys: vec![LimitKey::Client],
        kind: LimitKind::Rate { allowance, block: None },
        counted: Counted::Requests,
        except: Vec::new(),
    };
    Route {
        name: format!("orders-{number}"),
        listener: ListenerKind::Public,
        hosts: Vec::new(),
        path: format!("/orders/{number}/{{*rest}}"),
        methods: Vec::new(),
        get_has_effects: false,
        target: Target::Upstream(upstream.clone()),
        authenticate: vec![AuthKind::Bearer],
        own_tokens: true,
        issuers: Vec::new(),
        scopes: vec!["orders".into()],
        step_up: None,
        fresh_session: None,
        policies: false,
        spiffe_ids: Vec::new(),
        any_workload: false,
        priority: Priority::Normal,
        limits: vec![Arc::new(rule)],
        max_body: DEFAULT_BODY_LIMIT,
        contract: None,
        learning: false,
        checks_responses: false,
        checks_json: true,
        cookies: Cookies::default(),
        max_response: 0,
        cors: None,
    }
}

fn gateway(routes: usize, key: SigningKey, service: SocketAddr) -> Gateway {
    let entropy = SeededEntropy::new(1);
    let settings = UpstreamSettings {
        timeout: Duration::from_secs(30),
        try_timeout: Duration::from_secs(30),
        retries: 0,
        max_requests: 100,
        slow_start: Duration::ZERO,
        eject_after: 0,
        eject_for: Duration::ZERO,
        reuse_after_body: true,
        health: None,
    };
    let url = format!("http://{service}");
    let server = Server::new(&url, Protocol::Http1, Duration::from_secs(5), None).unwrap();
    let name = "orders".to_owned();
    let upstream = Arc::new(Upstream::new(
        name.clone(),
        name,
        Protocol::Http1,
        settings,
        vec![server],
        &*entropy,
    ));
    let keys = JwkSet { keys: vec![key.public().clone()] }.verifying_keys().unwrap();
    let parts = SnapshotParts {
        routes: (0..routes).map(|number| route(number, &upstream)).collect(),
        verifier: Verifier::new(ISSUER, ISSUER, access_token::TYP, &[Alg::EdDsa]),
        keys,
        minter: Minter { issuer: ISSUER.into(), key: Arc::new(key) },
        trusted_proxies: Vec::new(),
        proxy_protocol: false,
        hosts: vec!["localhost".into()],
        remembered_tokens: 8_192,
        policies: None,
        sessions: Vec::new(),
    };
    let shared = Shared {
        counters: Counters {
            limiter: Arc::new(Limiter::new(&*entropy)),
            quotas: Arc::new(Quotas::new(HashKey::new(&*entropy))),
            concurrency: Concurrency::new(&*entropy),
        },
        overload: Overload::new(&*entropy),
        blocks: Arc::new(Blocks::default()),
        revocations: Arc::new(Revocations::new(&*entropy)),
        replays: Arc::new(Replays::new(Duration::from_secs(60), &*entropy)),
        api_keys: Arc::new(ApiKeys::default()),
        clock: FixedClock::new(),
        entropy,
        record: Arc::new(drop),
        tracing: None,
        limit_blocked: Arc::new(drop),
    };
    Gateway::new(Snapshot::new(parts).unwrap(), shared)
}

/// One keep-alive connection of a client.
struct Client {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Client {
    fn connect(addr: SocketAddr, trust: &Arc<Trust>) -> Self {
        let config =
            client_config(trust.clone(), None, ServerIdentity::default(), b"http/1.1").unwrap();
        let name = "localhost".try_into().unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(addr).unwrap();
        Self { stream: BufReader::new(StreamOwned::new(tls, stream)) }
    }

    fn ask(&mut self, route: usize, token: &str) {
        let request = format!(
            "GET /orders/{route}/x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        assert_eq!(length, 500);
    }
}

/// What the gate takes for each request, with so many routes and remembered tokens.
fn counted(routes: usize, tokens: usize) -> (f64, f64) {
    let (key, _) = SigningKey::generate(Alg::EdDsa).unwrap();
    let tokens: Vec<String> = (0..tokens).map(|number| token(&key, number)).collect();
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len());
    let gateway = gateway(routes, key, service());

    let (now, entropy) = (START, SeededEntropy::new(2));
    let root = Authority::create_root("test", now, DAY * 36_500).unwrap();
    let authority = Authority::load(&root.certificate, &root.key_pem, None).unwrap();
    let (own, pem) = new_key().unwrap();
    let subject = Subject { workload: None, names: vec!["localhost".into()] };
    let issued = authority.issue(&subject, &own, now, DAY * 36_500, &*entropy).unwrap();
    let shown = Identity::new(issued.chain, &pem).unwrap();
    let door = Door { tls: Arc::new(public_config(shown).unwrap()), trust: None };
    let trust = Trust::new(&[CertificateDer::from(root.certificate)]).unwrap();

    let (tell, told) = mpsc::channel::<SocketAddr>();
    let (close, closing) = watch::channel(false);
    let (begin, mut began) = tokio::sync::mpsc::channel::<()>(1);
    let (end, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    let gate = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(socket.local_addr().unwrap()).unwrap();
            let door = Arc::new(ArcSwap::from_pointee(door));
            let kind = ListenerKind::Public;
            let listener = Listener { kind, socket, door, max_connections: 10 };
            drop(tokio::spawn(serve(listener, gateway, closing)));
        });
        runtime.block_on(began.recv());
        allocation_counter::measure(|| {
            runtime.block_on(ended.recv());
        })
    });
    let mut client = Client::connect(told.recv().unwrap(), &trust);
    let mut asked = 0;
    let mut ask = |times: usize| {
        for _ in 0..times {
            client.ask(asked % routes, &tokens[asked % tokens.len()]);
            asked += 1;
        }
    };
    ask(WARM * tokens.len());
    begin.blocking_send(()).unwrap();
    ask(COUNTED);
    end.blocking_send(()).unwrap();
    let AllocationInfo { count_total, bytes_total, .. } = gate.join().unwrap();
    drop(close);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = |total: u64| total as f64 / COUNTED as f64;
    (each(count_total), each(bytes_total))
}

#[test]
fn a_request_with_a_remembered_token_takes_what_it_takes_whatever_else_there_is() {
    let (count, bytes) = counted(1, 1);
    let (count_of_many, bytes_of_many) = counted(500, 1_000);
    let said = format!(
        "{count:.1} allocations of {bytes:.0} bytes with one route and token, \
         {count_of_many:.1} of {bytes_of_many:.0} with 500 routes and 1,000 tokens"
    );
    // Names are a little longer there.
    assert!((count - count_of_many).abs() < 1.0, "{said}");
    assert!((bytes - bytes_of_many).abs() < 200.0, "{said}");
    assert!(count < 120.0, "{said}");
    println!("{said}");
}
