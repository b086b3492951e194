//! Webhooks: what receivers are told of sessions, in what order, and what happens if they do not listen.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use portcullis_egress::{Egress, Resolve, Settings};
use portcullis_events::{Actor, Kind, Origin};
use portcullis_store::idv::webhooks::{DeliveryFilter, DeliveryRow};
use portcullis_testkit::{TestDb, on_both};
use portcullis_types::{Clock, Id, tags};
use portcullis_verification::{
    Attempt, Begin, Keeper, RETRIES, Receiver, Secrets, SessionError, Sessions, TYPES, Webhooks,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::OwnedMutexGuard,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    sessions::node,
    world::{FakeList, World, machine, monitored, person},
};

type Heard = Arc<Mutex<Vec<(String, Value)>>>;
type Gate = Arc<tokio::sync::Mutex<()>>;

/// A receiver over TLS, which says to everything what it was told to say.
struct Ear {
    heard: Heard,
    says: Arc<AtomicU16>,
    egress: Egress,
    /// Nothing is answered while somebody has it.
    gate: Gate,
}

async fn hear(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    (heard, gate): (Heard, Gate),
    says: u16,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let end = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
        let Some(head) = end(&request) else { continue };
        let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
        };
        let body = &request[head + 4..];
        if body.len() < field("content-length:").parse().unwrap() {
            continue;
        }
        assert_eq!(field("content-type:"), "application/json");
        assert!(field("webhook-signature:").contains("v1,"));
        assert!(field("webhook-signature:").contains(" v1a,"));
        heard.lock().unwrap().push((field("webhook-id:"), serde_json::from_slice(body).unwrap()));
        break;
    }
    drop(gate.lock().await);
    let answer = format!("HTTP/1.1 {says} Said\r\ncontent-length: 0\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl Ear {
    async fn open() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["ear.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (heard, says): (Heard, _) = (Heard::default(), Arc::new(AtomicU16::new(204)));
        let gate = Gate::default();
        let (to, answer) = ((heard.clone(), gate.clone()), says.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                let says = answer.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    hear(stream, to, says).await;
                });
            }
        });
        let resolve: Resolve = Arc::new(move |_, _| Box::pin(async move { Ok(vec![addr]) }));
        let settings =
            Settings { allow: vec!["127.0.0.0/8".parse().unwrap()], ca_pem: Some(cert.pem()) };
        Self { heard, says, egress: Egress::new(settings, resolve).unwrap(), gate }
    }

    async fn holds(&self) -> OwnedMutexGuard<()> {
        self.gate.clone().lock_owned().await
    }

    fn says(&self, status: u16) {
        self.says.store(status, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// What was said of sessions: which message, and where the session is.
    fn told(&self) -> Vec<(i64, String)> {
        let told = self.take().into_iter();
        let of = |(_, body): (String, Value)| {
            let data = &body["data"];
            (data["sequence"].as_i64().unwrap(), data["status"].as_str().unwrap().to_owned())
        };
        told.map(of).collect()
    }
}

struct House {
    world: World,
    ear: Ear,
    sessions: Sessions,
    hook: Id<tags::Webhook>,
    secrets: Secrets,
}

fn graph() -> Value {
    json!({
        "schema": "idv.workflow/1", "start": "tell",
        "nodes": {
            "tell": { "type": "webhook", "event": "hello", "next": "human" },
            "human": { "type": "review" }
        }
    })
}

/// Somebody who verifies people, and does not screen them.
fn keeper<'a>(actor: &'a Actor, origin: &'a Origin) -> Keeper<'a> {
    Keeper { actor, origin, may_screen: false }
}

impl House {
    async fn new(db: TestDb) -> Self {
        let world = World::new(db);
        let ear = Ear::open().await;
        let sessions = node(&world, &world.aml, 50, ear.egress.clone());
        let (by, origin) = (machine(), Origin::default());
        let made = sessions.create_workflow("tells", &graph(), &by, &origin).await.unwrap();
        sessions.publish(made.id, 1, "first", (&by, &origin)).await.unwrap();
        let receiver =
            Receiver { url: Some("https://ear.example/hook".into()), ..Receiver::default() };
        let (row, secrets) = sessions.webhooks.add(&receiver, keeper(&by, &origin)).await.unwrap();
        Self { world, ear, sessions, hook: row.id, secrets }
    }

    fn hooks(&self) -> &Webhooks {
        &self.sessions.webhooks
    }

    async fn begin(&self) -> Id<tags::IdvSession> {
        let asked =
            Begin { workflow: "tells".into(), reference: Some("p-7".into()), ..Begin::default() };
        let begun = self.sessions.begin(asked, &machine(), &Origin::default()).await.unwrap();
        begun.open.row.id
    }

    async fn cancel(&self, id: Id<tags::IdvSession>) {
        self.sessions.cancel(id, "LEFT", &machine(), &Origin::default()).await.unwrap();
    }

    /// Tells everything that is due.
    async fn tell(&self) {
        for id in self.hooks().due().await.unwrap() {
            while self.hooks().drain(id).await.unwrap() > 0 {}
        }
    }

    fn later(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    async fn deliveries(&self, status: &str) -> Vec<DeliveryRow> {
        let filter = DeliveryFilter { status, session: "" };
        self.hooks()
            .deliveries((self.hook, keeper(&machine(), &Origin::default())), filter, "", 100)
            .await
            .unwrap()
    }

    fn changes(&self) -> Vec<&'static str> {
        let change = |event: portcullis_events::Event| match event.kind {
            Kind::Admin(change) if change.object_type == "idv_webhook" => Some(change.action),
            _ => None,
        };
        self.world.db.recorded.events().into_iter().filter_map(change).collect()
    }
}

on_both!(a_receiver_is_told_in_order, |db: TestDb| {
    let house = House::new(db).await;
    let id = house.begin().await;
    house.cancel(id).await;
    house.tell().await;
    let heard = house.ear.take();
    let types: Vec<_> = heard.iter().map(|(_, body)| body["type"].as_str().unwrap()).collect();
    let changed = "idv.session.status_changed";
    assert_eq!(types, ["idv.session.notified", changed, changed]);
    let (ids, bodies): (Vec<_>, Vec<_>) = heard.into_iter().unzip();
    assert_eq!(bodies[0]["data"]["event"], "hello");
    assert_eq!(bodies[0]["data"]["node"], "tell");
    assert_eq!(bodies[1]["data"]["status"], "in_review");
    assert_eq!(bodies[2]["data"]["previous_status"], "in_review");
    for (sequence, body) in (1..).zip(&bodies) {
        assert_eq!(body["data"]["sequence"], sequence);
        assert_eq!(body["data"]["session"], id.to_string());
        assert_eq!(body["data"]["reference"], "p-7");
    }
    // That was it, and it is on record.
    house.tell().await;
    assert!(house.ear.take().is_empty());
    let log = house.deliveries("delivered").await;
    let mut of: Vec<_> = log.iter().map(|row| row.message.id.to_string().to_lowercase()).collect();
    let mut ids = ids;
    of.sort();
    ids.sort();
    assert_eq!(of, ids);
    let attempts = Attempt::all(&log[0]);
    assert_eq!((attempts.len(), attempts[0].status), (1, Some(204)));
    assert!(house.secrets.secret.starts_with("whsec_"));
    assert!(!format!("{:?}", house.secrets).contains("whsec_"));
});

on_both!(who_does_not_listen_is_told_again_for_three_days, |db: TestDb| {
    let house = House::new(db).await;
    let begun = house.world.clock.now();
    house.ear.says(500);
    let id = house.begin().await;
    house.tell().await;
    // The second message waits for the first.
    assert_eq!(house.ear.told().len(), 1);
    assert_eq!(house.hooks().due().await.unwrap(), [], "it is too early");
    house.tell().await;
    assert!(house.ear.told().is_empty());
    // Nor is anything due that follows it.
    house.cancel(id).await;
    assert_eq!(house.hooks().due().await.unwrap(), []);
    for (at, seconds) in RETRIES.iter().enumerate() {
        house.later(seconds + seconds / 5 + 600);
        house.tell().await;
        assert_eq!(house.ear.told().len(), 1, "{at}");
    }
    assert!(house.world.clock.now().since(begun) > Duration::from_secs(3 * 24 * 3600));
    let failed = house.deliveries("failed").await;
    assert_eq!(failed.len(), 1);
    assert_eq!(Attempt::all(&failed[0]).len(), 10);
    assert_eq!(house.changes(), ["create", "give_up"]);
    // It was given up, so that the next one is told.
    house.later(600);
    house.ear.says(200);
    house.tell().await;
    let rest = [(2, "in_review".to_owned()), (3, "cancelled".to_owned())];
    assert_eq!(house.ear.told(), rest);
    // And the first one, if somebody asks for it, under the id that it had.
    let (by, origin) = (machine(), Origin::default());
    let count = house.hooks().recover(house.hook, begun, keeper(&by, &origin)).await.unwrap();
    assert_eq!(count, 1);
    house.tell().await;
    let heard = house.ear.take();
    assert_eq!(heard[0].0, failed[0].message.id.to_string().to_lowercase());
    assert_eq!(heard[0].1["data"]["session"], id.to_string());
    assert_eq!(house.deliveries("failed").await.len(), 0);
    let message = failed[0].message.id;
    house.hooks().replay(house.hook, message, keeper(&by, &origin)).await.unwrap();
    house.tell().await;
    assert_eq!(house.ear.take()[0].0, message.to_string().to_lowercase());
});

on_both!(what_is_asked_for_while_it_is_told_is_told_again, |db: TestDb| {
    let house = House::new(db).await;
    house.begin().await;
    house.tell().await;
    let message = house.deliveries("delivered").await[0].message.id;
    house.ear.take();
    let (by, origin) = (machine(), Origin::default());
    let again = || house.hooks().replay(house.hook, message, keeper(&by, &origin));
    again().await.unwrap();
    house.later(1);
    // It is on its way, and the receiver holds it.
    let held = house.ear.holds().await;
    let (told, asked) = tokio::join!(house.hooks().drain(house.hook), async {
        while house.ear.heard.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        house.later(1);
        let asked = again().await;
        drop(held);
        asked
    });
    told.unwrap();
    asked.unwrap();
    assert_eq!(house.deliveries("pending").await.len(), 1);
    house.tell().await;
    assert_eq!(house.ear.take().len(), 2);
    assert_eq!(house.deliveries("pending").await.len(), 0);
});

on_both!(what_is_old_is_tried_once_more, |db: TestDb| {
    let house = House::new(db).await;
    house.begin().await;
    house.ear.says(500);
    house.later(8 * 24 * 3600);
    house.tell().await;
    // The one before it was given up, and so was this one.
    assert_eq!(house.ear.told().len(), 2);
    assert_eq!(house.deliveries("failed").await.len(), 2);
});

on_both!(who_fails_again_and_again_is_left_alone_for_a_while, |db: TestDb| {
    let house = House::new(db).await;
    house.ear.says(503);
    for _ in 0..8 {
        house.begin().await;
    }
    house.tell().await;
    let tried = house.ear.take().len();
    assert!((5..=8).contains(&tried), "{tried}: what was on its way when it was left alone");
    assert_eq!(house.hooks().due().await.unwrap(), []);
    house.ear.says(200);
    house.later(60);
    house.tell().await;
    // Each session in order, the first message of which was told again.
    house.later(600);
    house.tell().await;
    assert_eq!(house.deliveries("pending").await.len(), 0);
    assert_eq!(
        house
            .hooks()
            .receiver(house.hook, keeper(&machine(), &Origin::default()))
            .await
            .unwrap()
            .failures,
        0
    );
});

on_both!(what_is_erased_is_not_told_any_more, |db: TestDb| {
    let house = House::new(db).await;
    let id = house.begin().await;
    house.sessions.erase(id, &machine(), &Origin::default()).await.unwrap();
    house.tell().await;
    let heard = house.ear.take();
    let told: Vec<_> = heard.iter().map(|(_, body)| (&body["type"], &body["data"])).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let ((ended, status), (erased, data)) = (told[0], told[1]);
    assert_eq!((ended, &status["status"]), (&json!(TYPES[0]), &json!("cancelled")));
    assert_eq!((erased, &data["sequence"]), (&json!(TYPES[2]), &json!(4)));
    assert_eq!((&status["reference"], &data["reference"]), (&json!(""), &json!("")));
});

on_both!(who_is_gone_or_not_wanted_is_not_told, |db: TestDb| {
    let house = House::new(db).await;
    let (by, origin) = (machine(), Origin::default());
    house.ear.says(410);
    house.begin().await;
    house.tell().await;
    house.ear.take();
    let row =
        house.hooks().receiver(house.hook, keeper(&machine(), &Origin::default())).await.unwrap();
    assert_eq!((&row.disabled[..], row.revision), ("gone", 2));
    // What happens now waits for them, as what waited before does.
    house.begin().await;
    house.ear.says(200);
    house.later(3_600);
    house.tell().await;
    assert!(house.ear.take().is_empty());
    let enabled = Receiver { is_enabled: Some(true), ..Receiver::default() };
    let stale = house.hooks().change(house.hook, (1, &enabled), keeper(&by, &origin)).await;
    assert!(matches!(stale, Err(SessionError::Stale)));
    house.hooks().change(house.hook, (2, &enabled), keeper(&by, &origin)).await.unwrap();
    house.tell().await;
    assert_eq!(house.ear.told().len(), 4);
    // What happens while somebody does not want it told is not told later either.
    let disabled = Receiver { is_enabled: Some(false), ..Receiver::default() };
    house.hooks().change(house.hook, (3, &disabled), keeper(&by, &origin)).await.unwrap();
    house.begin().await;
    house.hooks().change(house.hook, (4, &enabled), keeper(&by, &origin)).await.unwrap();
    house.tell().await;
    assert!(house.ear.take().is_empty());
    // Only what they want.
    let types = Some(vec!["idv.session.notified".to_owned()]);
    let few = Receiver { types, ..Receiver::default() };
    house.hooks().change(house.hook, (5, &few), keeper(&by, &origin)).await.unwrap();
    house.begin().await;
    house.tell().await;
    assert_eq!(house.ear.told(), [(1, "in_review".to_owned())]);
    // But they hear a ping all the same.
    house.hooks().ping(house.hook, keeper(&machine(), &Origin::default())).await.unwrap();
    house.tell().await;
    assert_eq!(house.ear.take()[0].1["type"], "idv.ping");
    house.begin().await;
    house.hooks().remove(house.hook, keeper(&by, &origin)).await.unwrap();
    house.tell().await;
    assert!(house.ear.take().is_empty());
    assert_eq!(
        house.changes(),
        ["create", "disable", "update", "update", "update", "update", "delete"]
    );
});

on_both!(keys_that_were_changed_sign_for_a_day, |db: TestDb| {
    let house = House::new(db).await;
    let (by, origin) = (machine(), Origin::default());
    let (row, new) = house.hooks().rotate(house.hook, keeper(&by, &origin)).await.unwrap();
    let again = house.hooks().rotate(house.hook, keeper(&by, &origin)).await;
    assert!(matches!(again, Err(SessionError::Overlap)), "{again:?}");
    assert_ne!(new.secret, house.secrets.secret);
    assert_eq!(house.hooks().public_key(&row).unwrap(), new.public_key);
    assert_ne!(new.public_key, house.secrets.public_key);
    house.hooks().ping(house.hook, keeper(&machine(), &Origin::default())).await.unwrap();
    house.tell().await;
    assert_eq!(house.ear.take().len(), 1);
});

on_both!(nobody_is_told_where_nobody_may_be, |db: TestDb| {
    let house = House::new(db).await;
    let (by, origin) = (machine(), Origin::default());
    for url in [
        "http://ear.example/",
        "https://user:secret@ear.example/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "nothing",
    ] {
        let receiver = Receiver { url: Some(url.into()), ..Receiver::default() };
        let refused = house.hooks().add(&receiver, keeper(&by, &origin)).await;
        assert!(matches!(refused, Err(SessionError::Invalid("url", _))), "{url}: {refused:?}");
    }
    let receiver = |types: &[&str]| Receiver {
        url: Some("https://ear.example".into()),
        types: Some(types.iter().map(|one| (*one).to_owned()).collect()),
        ..Receiver::default()
    };
    let wrong = house.hooks().add(&receiver(&["idv.nothing"]), keeper(&by, &origin)).await;
    assert!(matches!(wrong, Err(SessionError::Invalid("types", _))));
    let none = house.hooks().add(&receiver(&[]), keeper(&by, &origin)).await;
    assert!(matches!(none, Err(SessionError::Invalid("types", _))));
    let receiver = || receiver(&[TYPES[0]]);
    for _ in 1..20 {
        house.hooks().add(&receiver(), keeper(&by, &origin)).await.unwrap();
    }
    let many = house.hooks().add(&receiver(), keeper(&by, &origin)).await;
    assert!(matches!(many, Err(SessionError::Invalid("url", _))));
    assert_eq!(
        house.hooks().receivers(keeper(&machine(), &Origin::default())).await.unwrap().len(),
        20
    );
});

on_both!(what_monitoring_finds_is_told_to_whoever_may_know_and_asks_for_it, |db: TestDb| {
    let house = House::new(db).await;
    let (by, origin) = (machine(), Origin::default());
    let hits = |url: &str| Receiver {
        url: Some(url.into()),
        types: Some(vec!["aml.subject.hits_changed".into()]),
        ..Receiver::default()
    };
    let verifier = keeper(&by, &origin);
    let screener = Keeper { may_screen: true, ..verifier };
    let asked = hits("https://ear.example/hits");
    let refused = house.hooks().add(&asked, verifier).await;
    assert!(matches!(refused, Err(SessionError::Forbidden)));
    let (row, _) = house.hooks().add(&asked, screener).await.unwrap();
    let list = |number, entities: &[(&str, &str)]| {
        let entities = entities.iter().map(|(id, name)| person(id, name, &[])).collect();
        FakeList::new("un", number, entities)
    };
    house.world.lists(&[&list(1, &[("q", "Somebody Else")])]);
    let alice = house.world.screen(&monitored("Anna Maria Eriksson", "p-9")).await.unwrap();
    house.world.aml.monitor().await.unwrap();
    let deliveries =
        |keeper| house.hooks().deliveries((row.id, keeper), DeliveryFilter::default(), "", 9);
    assert!(
        deliveries(screener).await.unwrap().is_empty(),
        "nobody is told what they have asked for"
    );
    house.world.lists(&[&list(2, &[("q", "Somebody Else"), ("x", "Anna Maria Eriksson")])]);
    house.world.aml.monitor().await.unwrap();
    let told = deliveries(screener).await.unwrap();
    assert_eq!(told.len(), 1);
    let told = &told[0];
    let subject = alice.subject.unwrap().id;
    assert_eq!(told.message.session_id, subject.to_string());
    let body: Value = serde_json::from_str(&told.message.body).unwrap();
    let hit = house.world.hit("p-9", "x").await;
    assert_eq!(body["type"], "aml.subject.hits_changed");
    assert_eq!(
        body["data"],
        json!({ "subject": subject.to_string(), "reference": "p-9", "cause": "list_change", "hits": 1,
                "changes": [{ "change": "new", "hit": hit.id.to_string(), "list": "un" }] })
    );
    assert!(!told.message.body.contains("Eriksson"));
    let usual = house.deliveries("").await;
    assert!(usual.iter().all(|one| one.message.kind != "aml.subject.hits_changed"));
    // Whoever only verifies people has nothing to do with that receiver.
    let (id, message) = (row.id, told.message.id);
    let more =
        Receiver { types: Some(vec!["aml.subject.hits_changed".into()]), ..Receiver::default() };
    let hooks = house.hooks();
    let is_refused = [
        hooks.receiver(id, verifier).await.err(),
        deliveries(verifier).await.err(),
        hooks.delivery(id, message, verifier).await.err(),
        hooks.replay(id, message, verifier).await.err(),
        hooks.recover(id, house.world.clock.now(), verifier).await.err(),
        hooks.ping(id, verifier).await.err(),
        hooks.rotate(id, verifier).await.err(),
        hooks.remove(id, verifier).await.err(),
        hooks.change(id, (row.revision, &Receiver::default()), verifier).await.err(),
        hooks.change(house.hook, (1, &more), verifier).await.err(),
    ];
    for error in is_refused {
        assert!(matches!(error, Some(SessionError::Forbidden)), "{error:?}");
    }
    let seen = |keeper| async move { hooks.receivers(keeper).await.unwrap().len() };
    assert_eq!((seen(verifier).await, seen(screener).await), (1, 2));
    // Nor with what it was told once it is told no more.
    let (again, _) = hooks.add(&asked, screener).await.unwrap();
    house.world.lists(&[&list(3, &[("x", "Anna Maria Eriksson"), ("y", "Anna M. Eriksson")])]);
    house.world.aml.monitor().await.unwrap();
    let all = DeliveryFilter::default();
    assert_eq!(hooks.deliveries((again.id, screener), all, "", 9).await.unwrap().len(), 1);
    let less = Receiver { types: Some(vec!["idv.session.erased".into()]), ..Receiver::default() };
    hooks.change(again.id, (again.revision, &less), screener).await.unwrap();
    assert!(hooks.deliveries((again.id, verifier), all, "", 9).await.unwrap().is_empty());
    hooks.remove(again.id, verifier).await.unwrap();
    // It goes with the subject.
    house.world.lists(&[&list(4, &[("q", "Somebody Else")])]);
    house.world.aml.monitor().await.unwrap();
    assert_eq!(deliveries(screener).await.unwrap().len(), 3);
    house.world.aml.remove(subject, &by, &origin).await.unwrap();
    assert!(deliveries(screener).await.unwrap().is_empty());
    hooks.remove(id, screener).await.unwrap();
});
