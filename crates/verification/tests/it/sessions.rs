//! Sessions of workflows: what they come to, who may take them further, and what is left after a crash.

use std::{sync::Arc, time::Duration};

use portcullis_documents::{
    chip::{Active, Chain, Passive},
    finding::{Code, Finding},
    zone::Expected,
};
use portcullis_egress::{Egress, Settings, system_resolver};
use portcullis_events::{Event, Kind, Origin, Verification};
use portcullis_store::{
    Sealer, accounts,
    idv::{
        evidence::{self, LogProof},
        identities::{self, IdentityOf},
        lists, notes, proofs,
        sessions::{self as rows, SessionFilter},
    },
};
use portcullis_testkit::{START, SeededEntropy, TestDb, killed, on_both};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{
    AddressFacts, AddressSources, Aml, Assurance, Begin, CheckParts, CheckStatus, Checks, Decided,
    EVIDENCE_SALT_BYTES, EmrtdReport, Given, Known, ListKind, ListedEntry, Models, Needed, Open,
    Owner, Providers, Report, ReportViews, Reviewed, SessionError, SessionParts, Sessions,
    WebhookParts, Webhooks, ZoneAsked, ZoneReport, evidence_digest,
};
use portcullis_workflow::{Refused, Verdict};
use serde_json::{Value, json};

use crate::world::{FakeList, World, machine, person, reviewer, set};

/// The specimen of ICAO 9303-4.
const ZONE: &str =
    "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10";

fn graph() -> Value {
    json!({
        "schema": "idv.workflow/1",
        "start": "zone",
        "limits": { "ttl": "PT1H", "attempts": 2 },
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "lists" },
            "lists": { "type": "check", "check": "aml", "next": "route",
                       "retry": { "max": 1, "backoff": "PT10S" } },
            "route": { "type": "branch", "else": "end", "cases": [
                { "id": "listed", "goto": "human", "when": { "cel": "lists.hits > 0" } },
                { "id": "down", "goto": "human", "when": { "cel": "lists.status == 'error'" } }
            ] },
            "human": { "type": "review", "queue": "kyc", "approvers": 2, "sla": "P1D" },
            "end": { "type": "decide", "set": "approved" }
        }
    })
}

pub fn no_way_out() -> Egress {
    Egress::new(Settings::default(), system_resolver()).unwrap()
}

struct Office {
    world: World,
    checks: Checks,
    sessions: Sessions,
}

pub fn checks(world: &World, models: Option<Arc<Models>>) -> Checks {
    Checks::new(CheckParts {
        tenant: "main".into(),
        db: world.db.db.clone(),
        sink: world.db.recorded.clone(),
        clock: world.clock.clone(),
        entropy: SeededEntropy::new(40),
        digest_key: vec![9; 32],
        cores: 2,
        models,
    })
}

pub fn node(world: &World, aml: &Aml, seed: u64, egress: Egress) -> Sessions {
    node_with(world, (aml, None), seed, egress)
}

pub fn node_with(
    world: &World,
    (aml, models): (&Aml, Option<Arc<Models>>),
    seed: u64,
    egress: Egress,
) -> Sessions {
    let sealer = Arc::new(Sealer::new(&[7; 32]).unwrap());
    let entropy = SeededEntropy::new(seed);
    Sessions::new(SessionParts {
        tenant: "main".into(),
        db: world.db.db.clone(),
        sealer: sealer.clone(),
        clock: world.clock.clone(),
        entropy: entropy.clone(),
        digest_key: vec![5; 32],
        aml: aml.clone(),
        checks: checks(world, models),
        keep_pictures: Duration::from_secs(72 * 3_600),
        trust_frameworks: vec!["ours".into()],
        providers: Providers::new(Vec::new(), no_way_out()),
        disposable: None,
        sms: None,
        mail_hosts: None,
        addresses: Arc::new(|asked: &[std::net::IpAddr]| {
            (AddressSources::default(), vec![AddressFacts::default(); asked.len()])
        }),
        views: ReportViews {
            zone: |_| json!({ "seen": "zone" }),
            chip: |_| json!({ "seen": "chip" }),
            barcode: |_| json!({ "seen": "barcode" }),
            picture: |_| json!({ "seen": "picture" }),
            face: |_, _| json!({ "seen": "face" }),
        },
        webhooks: Webhooks::new(WebhookParts {
            tenant: "main".into(),
            db: world.db.db.clone(),
            sealer,
            clock: world.clock.clone(),
            entropy,
            egress,
        }),
    })
}

impl Office {
    async fn new(db: TestDb) -> Self {
        let world = World::new(db);
        world.lists(&[&FakeList::new("un", 1, vec![person("q", "Somebody Else", &[])])]);
        let checks = checks(&world, None);
        let sessions = node(&world, &world.aml, 50, no_way_out());
        let office = Self { world, checks, sessions };
        office.publish("kyc", &graph()).await;
        office
    }

    async fn publish(&self, name: &str, graph: &Value) -> Id<tags::Workflow> {
        let (by, origin) = (machine(), Origin::default());
        let made = self.sessions.create_workflow(name, graph, &by, &origin).await.unwrap();
        self.sessions.publish(made.id, 1, "first", (&by, &origin)).await.unwrap();
        made.id
    }

    async fn begin(&self, asked: Begin) -> Result<Open, SessionError> {
        let begun = self.sessions.begin(asked, &machine(), &Origin::default()).await?;
        Ok(begun.open)
    }

    async fn kyc(&self) -> Open {
        self.begin(Begin { workflow: "kyc".into(), ..Begin::default() }).await.unwrap()
    }

    async fn give(&self, id: Id<tags::IdvSession>, zone: &str) -> Result<Open, SessionError> {
        let asked = self.sessions.asked(id, "zone").await?;
        let zone = ZoneAsked { text: zone.to_owned(), find: false, expected: asked.expected };
        let report = self.checks.zone(zone, &machine(), &Origin::default()).await.unwrap();
        let given: Given<'_, ZoneReport> = Given::Report(&report, json!({ "seen": true }));
        self.sessions.given(id, asked.serial, given, (&machine(), &Origin::default())).await
    }

    async fn run(&self) {
        while self.sessions.run_due().await.unwrap() > 0 {}
    }

    async fn read(&self, id: Id<tags::IdvSession>) -> Open {
        self.sessions.read(id).await.unwrap()
    }

    async fn status(&self, id: Id<tags::IdvSession>) -> &'static str {
        self.read(id).await.state.status.as_str()
    }

    async fn vote(
        &self,
        id: Id<tags::IdvSession>,
        name: &str,
        verdict: Verdict,
    ) -> Result<Open, SessionError> {
        let version = self.read(id).await.row.version;
        let reviewed = Reviewed { version, verdict, reason: "LOOKED".into() };
        self.sessions.review(id, reviewed, &reviewer(name), &Origin::default()).await
    }

    fn recorded(&self) -> Vec<Verification> {
        let session = |event: Event| match event.kind {
            Kind::Verification(session) => Some(session),
            _ => None,
        };
        self.world.db.recorded.events().into_iter().filter_map(session).collect()
    }

    /// What is stored of a session is all there, and asks for what the session waits for and nothing else.
    async fn is_whole(&self, id: Id<tags::IdvSession>) {
        let open = self.read(id).await;
        assert_eq!(open.row.version, i64::from(open.state.version));
        assert_eq!(open.row.status, open.state.status.as_str());
        let effects = rows::effects_of(&self.world.db.db, "main", id).await.unwrap();
        for effect in &effects {
            let serial = u32::try_from(effect.task).unwrap();
            assert!(open.state.tasks.contains_key(&serial), "{effect:?}");
        }
        let performing = open.state.tasks.iter().filter(|(_, task)| {
            matches!(task.phase, portcullis_workflow::Phase::Performing { .. })
        });
        for (serial, _) in performing {
            let asked = |kind: &str| {
                effects.iter().any(|one| one.task == i64::from(*serial) && one.kind == kind)
            };
            assert!(asked("perform"), "nobody would ever do it");
        }
    }
}

on_both!(a_session_goes_its_way, |db: TestDb| {
    let office = Office::new(db).await;
    let begun = office.kyc().await;
    let id = begun.row.id;
    assert_eq!((begun.state.status.as_str(), begun.asked()), ("created", vec!["zone"]));
    let given = office.give(id, ZONE).await.unwrap();
    assert_eq!(given.state.status.as_str(), "processing");
    office.run().await;
    let open = office.read(id).await;
    assert_eq!(open.state.status.as_str(), "approved");
    let kinds: Vec<&str> = office.recorded().iter().map(|one| one.change).collect();
    assert_eq!(kinds, ["began", "given", "performed", "decided"]);
    let decided = office.recorded().pop().unwrap();
    assert_eq!((decided.verdict, decided.decided_by), (Some("approved"), Some("graph")));
    assert_eq!(decided.trace, ["zone next", "lists next", "route else", "end approved"]);
    let reports: Vec<_> = decided.reports.iter().map(|one| (&one.node[..], one.status)).collect();
    assert_eq!(reports, [("lists", "passed"), ("zone", "failed")], "the document has expired");
    assert_eq!(decided.workflow_digest.len(), 64);
    let recorded = format!("{:?}", office.world.db.recorded.events());
    assert!(!recorded.contains("ERIKSSON"), "the log knows no names");
    // That was it.
    assert!(matches!(office.give(id, ZONE).await, Err(SessionError::Refused(Refused::Over))));
    office.is_whole(id).await;
});

on_both!(what_is_stored_is_sealed_and_can_be_erased, |db: TestDb| {
    let office = Office::new(db).await;
    let expected = Known { surname: Some("Eriksson".into()), ..Known::default() };
    let metadata = json!({ "order": "secret-order" });
    let asked = Begin { workflow: "kyc".into(), expected, metadata, ..Begin::default() };
    let id = office.begin(asked).await.unwrap().row.id;
    office.give(id, ZONE).await.unwrap();
    let row = rows::by_id(&office.world.db.db, "main", id).await.unwrap().unwrap();
    let events = rows::events(&office.world.db.db, "main", id, 0, 100).await.unwrap();
    assert_eq!(events.len(), 2);
    let sealed: Vec<u8> =
        events.into_iter().flat_map(|event| event.sealed).chain(row.given).collect();
    for text in ["ERIKSSON", "Eriksson", "secret-order", "L898902C3"] {
        assert!(!sealed.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    assert_eq!(office.read(id).await.start.metadata["order"], "secret-order");
    let receipt = office.sessions.erase(id, &machine(), &Origin::default()).await.unwrap();
    assert!(receipt.aml_subject.is_none());
    let events = office.world.db.recorded.events();
    assert!(events.iter().any(|event| event.id == receipt.event));
    assert!(matches!(office.sessions.read(id).await, Err(SessionError::Erased)));
    let again = office.sessions.erase(id, &machine(), &Origin::default()).await;
    assert!(matches!(again, Err(SessionError::Erased)));
    let row = office.sessions.row(id).await.unwrap();
    assert!(row.key.is_none() && row.given.is_empty() && row.reference.is_empty());
    assert_eq!(rows::events(&office.world.db.db, "main", id, 0, 100).await.unwrap().len(), 0);
    // What was on its way ends there, and keeps nobody else waiting.
    office.run().await;
    assert_eq!((&row.status[..], row.deadline), ("cancelled", None));
    let waiting = office.kyc().await.row.id;
    for _ in 0..33 {
        let gone = office.kyc().await.row.id;
        office.sessions.erase(gone, &machine(), &Origin::default()).await.unwrap();
    }
    office.world.clock.advance(Duration::from_secs(3_600));
    office.run().await;
    assert_eq!(office.status(waiting).await, "expired");
});

on_both!(of_two_at_once_one_is_too_late, |db: TestDb| {
    let office = Office::new(db).await;
    let id = office.kyc().await.row.id;
    let asked = office.sessions.asked(id, "zone").await.unwrap();
    office.give(id, ZONE).await.unwrap();
    let late: Given<'_, ZoneReport> = Given::Unsupported("no_document".into());
    let late =
        office.sessions.given(id, asked.serial, late, (&machine(), &Origin::default())).await;
    assert!(matches!(late, Err(SessionError::Refused(Refused::Stale))), "{late:?}");
    let wrong = office.sessions.asked(id, "lists").await;
    assert!(matches!(wrong, Err(SessionError::NotAsked(steps)) if steps.is_empty()));
    // Both at the same time.
    let id = office.kyc().await.row.id;
    let (one, other) = tokio::join!(office.give(id, ZONE), office.give(id, ZONE));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    office.run().await;
    office.is_whole(id).await;
});

on_both!(a_request_with_the_same_key_is_one, |db: TestDb| {
    let office = Office::new(db).await;
    let asked = |request: &str| Begin {
        workflow: "kyc".into(),
        key: Some(("k1".into(), request.into())),
        ..Begin::default()
    };
    let (by, origin) = (machine(), Origin::default());
    let one = office.sessions.begin(asked("a"), &by, &origin).await.unwrap();
    let same = office.sessions.begin(asked("a"), &by, &origin).await.unwrap();
    assert_eq!((one.open.row.id, one.is_repeated), (same.open.row.id, false));
    assert!(same.is_repeated);
    let other = office.sessions.begin(asked("b"), &by, &origin).await;
    assert!(matches!(other, Err(SessionError::KeyReused)));
    // Somebody else's key is another one.
    let somebody = portcullis_events::Actor::Client { id: "another".into() };
    let theirs = office.sessions.begin(asked("a"), &somebody, &origin).await.unwrap();
    assert_ne!(theirs.open.row.id, one.open.row.id);
    // Two at once are one as well.
    let together = Begin { key: Some(("k2".into(), b"a".to_vec())), ..asked("a") };
    let (one, other) = tokio::join!(
        office.sessions.begin(together.clone(), &by, &origin),
        office.sessions.begin(together.clone(), &by, &origin)
    );
    assert_eq!(one.unwrap().open.row.id, other.unwrap().open.row.id);
    office.world.clock.advance(Duration::from_secs(25 * 3600));
    let later = office.sessions.begin(asked("b"), &by, &origin).await.unwrap();
    assert!(!later.is_repeated);
});

on_both!(people_decide_and_must_be_two, |db: TestDb| {
    let office = Office::new(db).await;
    let listed =
        person("q7", "Anna Maria Eriksson", &[("birthDate", "1974-08-12"), ("topics", "sanction")]);
    office.world.lists(&[&FakeList::new("un", 2, vec![listed])]);
    let asked =
        Begin { workflow: "kyc".into(), reference: Some("anna".into()), ..Begin::default() };
    let id = office.begin(asked).await.unwrap().row.id;
    office.give(id, ZONE).await.unwrap();
    office.run().await;
    let open = office.read(id).await;
    assert_eq!((open.state.status.as_str(), &open.row.queue[..]), ("in_review", "kyc"));
    assert!(open.row.review_due.is_some());
    let queue = SessionFilter { queue: "kyc", ..SessionFilter::default() };
    assert_eq!(office.sessions.page(queue, "", 10).await.unwrap().len(), 1);
    assert_eq!(
        open.state.done["lists"].values["topics"],
        portcullis_workflow::Value::Texts(vec!["sanction".into()])
    );
    // Somebody who did not see the last state of it.
    let reviewed =
        Reviewed { version: open.row.version - 1, verdict: Verdict::Approved, reason: "OK".into() };
    let stale = office.sessions.review(id, reviewed, &reviewer("ada"), &Origin::default()).await;
    assert!(matches!(stale, Err(SessionError::Stale)));
    office.vote(id, "ada", Verdict::Approved).await.unwrap();
    let again = office.vote(id, "ada", Verdict::Approved).await;
    assert!(matches!(again, Err(SessionError::Refused(Refused::Same))), "{again:?}");
    assert_eq!(office.status(id).await, "in_review");
    // One step again.
    let version = office.read(id).await.row.version;
    let nodes = ["zone".to_owned()].into();
    let resubmit = (version, nodes, "UNCLEAR".to_owned());
    office.sessions.resubmit(id, resubmit, &reviewer("ada"), &Origin::default()).await.unwrap();
    assert_eq!(office.status(id).await, "awaiting_input");
    office.give(id, ZONE).await.unwrap();
    assert_eq!(office.status(id).await, "processing", "whoever it is now is screened as well");
    office.run().await;
    assert_eq!(office.status(id).await, "in_review");
    office.vote(id, "ada", Verdict::Approved).await.unwrap();
    assert_eq!(
        office.status(id).await,
        "in_review",
        "what was said before was about something else"
    );
    let open = office.vote(id, "b", Verdict::Approved).await.unwrap();
    assert_eq!(open.state.status.as_str(), "approved");
    assert!(open.row.queue.is_empty() && open.row.expires_at.is_some());
    office.is_whole(id).await;
});

on_both!(time_passes_for_sessions, |db: TestDb| {
    let office = Office::new(db).await;
    let (late, done) = (office.kyc().await.row.id, office.kyc().await.row.id);
    office.give(done, ZONE).await.unwrap();
    office.run().await;
    office.world.clock.advance(Duration::from_secs(3_599));
    office.run().await;
    assert_eq!(office.status(late).await, "created");
    office.world.clock.advance(Duration::from_secs(1));
    office.run().await;
    assert_eq!(office.status(late).await, "expired");
    assert_eq!(office.status(done).await, "approved");
    // What came to nothing goes after 30 days, what was decided after years.
    let forget = |days: u64| {
        office.world.clock.advance(Duration::from_secs(days * 86_400));
        let now = portcullis_types::Clock::now(&*office.world.clock);
        portcullis_store::retention::run(&office.world.db.db, now)
    };
    forget(31).await.unwrap();
    assert!(matches!(office.sessions.row(late).await, Err(SessionError::NotFound)));
    assert!(office.sessions.row(done).await.is_ok());
    forget(5 * 366).await.unwrap();
    assert!(matches!(office.sessions.row(done).await, Err(SessionError::NotFound)));
});

on_both!(what_cannot_be_screened_is_tried_again, |db: TestDb| {
    let office = Office::new(db).await;
    office.world.lists(&[]);
    let id = office.kyc().await.row.id;
    office.give(id, ZONE).await.unwrap();
    office.run().await;
    assert_eq!(office.status(id).await, "processing");
    office.world.clock.advance(Duration::from_secs(9));
    office.run().await;
    assert_eq!(office.read(id).await.state.done.len(), 1, "it is too early");
    office.world.clock.advance(Duration::from_secs(1));
    office.run().await;
    let open = office.read(id).await;
    assert_eq!((open.state.status.as_str(), &open.row.queue[..]), ("in_review", "kyc"));
    assert_eq!(open.state.done["lists"].why.as_deref(), Some("screening_unavailable"));
});

on_both!(sessions_are_pinned_to_what_was_published, |db: TestDb| {
    let office = Office::new(db).await;
    let old = office.kyc().await;
    let (by, origin) = (machine(), Origin::default());
    let mut graph = graph();
    graph["nodes"]["end"] = json!({ "type": "decide", "set": "declined", "reason": "CLOSED" });
    let workflow = old.row.workflow_id;
    let stale = office.sessions.draft(workflow, 1, &graph, (&by, &origin)).await;
    assert!(matches!(stale, Err(SessionError::Stale)));
    office.sessions.draft(workflow, 2, &graph, (&by, &origin)).await.unwrap();
    let untried = office.sessions.backtest(workflow, &graph, 10).await.unwrap();
    assert_eq!(untried.sessions, 0);
    office.sessions.publish(workflow, 3, "closed", (&by, &origin)).await.unwrap();
    let new = office.kyc().await;
    assert_eq!((old.row.workflow_version, new.row.workflow_version), (1, 2));
    for id in [old.row.id, new.row.id] {
        office.give(id, ZONE).await.unwrap();
    }
    office.run().await;
    assert_eq!(office.status(old.row.id).await, "approved");
    assert_eq!(office.status(new.row.id).await, "declined");
    // Each would have come to what the other did.
    let tested = office.sessions.backtest(workflow, &graph, 10).await.unwrap();
    assert_eq!((tested.sessions, tested.same, tested.different.len()), (2, 1, 1));
    let one = &tested.different[0];
    assert_eq!(
        (one.session, one.was.as_str(), one.would_be.as_str()),
        (old.row.id, "approved", "declined")
    );
    let back = office.sessions.roll_back(workflow, 4, 1, (&by, &origin)).await.unwrap();
    assert_eq!((back.current_version, back.latest_version), (Some(1), 2));
    assert_eq!(office.kyc().await.row.workflow_version, 1);
    let none = office.sessions.roll_back(workflow, 5, 9, (&by, &origin)).await;
    assert!(matches!(none, Err(SessionError::Invalid("version", _))));
    let versions = office.sessions.versions(workflow, i64::MAX, 10).await.unwrap();
    let told: Vec<_> = versions.iter().map(|one| (one.version, &one.note[..])).collect();
    assert_eq!(told, [(2, "closed"), (1, "first")]);
    let diff = Sessions::diff(&crate::sessions::graph(), &graph).unwrap();
    assert_eq!(diff.nodes.keys().collect::<Vec<_>>(), ["end"]);
    assert!(diff.frame.is_empty());
});

on_both!(what_makes_no_sense_is_not_published, |db: TestDb| {
    let office = Office::new(db).await;
    let (by, origin) = (machine(), Origin::default());
    let mut graph = graph();
    graph["nodes"]["route"]["else"] = json!("nowhere");
    let made = office.sessions.create_workflow("broken", &graph, &by, &origin).await.unwrap();
    let refused = office.sessions.publish(made.id, 1, "", (&by, &origin)).await;
    assert!(
        matches!(refused, Err(SessionError::Graph(problems)) if problems[0].code == "unknown_node")
    );
    let begun = office.begin(Begin { workflow: "broken".into(), ..Begin::default() }).await;
    assert!(matches!(begun, Err(SessionError::NotPublished)));
    let twice = office.sessions.create_workflow("broken", &graph, &by, &origin).await;
    assert!(matches!(twice, Err(SessionError::Invalid("name", _))));
    let none = office.begin(Begin { workflow: "nothing".into(), ..Begin::default() }).await;
    assert!(matches!(none, Err(SessionError::Invalid("workflow", _))));
    let version = Begin { workflow: "kyc".into(), version: Some(9), ..Begin::default() };
    assert!(matches!(office.begin(version).await, Err(SessionError::Invalid("version", _))));
    let long = json!({ "more": "x".repeat(5_000) });
    let long = Begin { workflow: "kyc".into(), metadata: long, ..Begin::default() };
    assert!(matches!(office.begin(long).await, Err(SessionError::Invalid("metadata", _))));
    // Whoever is to be screened must have a name.
    let mut graph = crate::sessions::graph();
    graph["nodes"]["lists"]["from"] = json!("expected");
    office.publish("expected", &graph).await;
    let begin = Begin { workflow: "expected".into(), ..Begin::default() };
    assert!(matches!(office.begin(begin).await, Err(SessionError::Invalid("expected", _))));
    graph["nodes"]["lists"]["from"] = json!("zone");
    graph["nodes"]["lists"]["monitor"] = json!(true);
    office.publish("monitored", &graph).await;
    let begin = Begin { workflow: "monitored".into(), ..Begin::default() };
    assert!(matches!(office.begin(begin).await, Err(SessionError::Invalid("reference", _))));
});

on_both!(whoever_listens_to_the_log_is_told, |db: TestDb| {
    let office = Office::new(db).await;
    let mut graph = graph();
    graph["nodes"]["zone"]["next"] = json!("tell");
    graph["nodes"]["tell"] = json!({ "type": "webhook", "event": "zone_read", "next": "lists" });
    office.publish("telling", &graph).await;
    let begin = Begin { workflow: "telling".into(), ..Begin::default() };
    let id = office.begin(begin).await.unwrap().row.id;
    office.give(id, ZONE).await.unwrap();
    let told = office.recorded().pop().unwrap();
    assert_eq!((told.change, told.reason.as_deref()), ("told", Some("zone_read")));
    assert_eq!((told.node.as_deref(), told.session), (Some("tell"), id.to_string()));
});

on_both!(a_decision_of_many_steps_fits_into_the_log, |db: TestDb| {
    let office = Office::new(db).await;
    let name = |at: usize| format!("{}{at:03}", "n".repeat(61));
    let mut nodes = json!({ "end": { "type": "decide", "rule": "fold" } });
    for at in 0..498 {
        let next = if at == 497 { "end".to_owned() } else { name(at + 1) };
        let route =
            json!([{ "id": "never", "goto": "end", "when": { "cel": "session.bucket > 99" } }]);
        nodes[name(at)] = json!({ "type": "branch", "cases": route, "else": next });
    }
    nodes["end"] = json!({ "type": "decide", "set": "approved" });
    let long = json!({ "schema": "idv.workflow/1", "start": name(0), "nodes": nodes });
    office.publish("long", &long).await;
    let begin = Begin { workflow: "long".into(), ..Begin::default() };
    let open = office.begin(begin).await.unwrap();
    assert_eq!((open.state.status.as_str(), open.state.trace.len()), ("approved", 499));
    let events = office.world.db.recorded.events();
    let longest = events.iter().map(|event| portcullis_events::leaf(event).len()).max().unwrap();
    assert!(longest < 60_000, "{longest}");
});

on_both!(what_was_removed_is_missed, |db: TestDb| {
    let office = Office::new(db).await;
    let id = office.kyc().await.row.id;
    office.give(id, ZONE).await.unwrap();
    let row = office.sessions.row(id).await.unwrap();
    let cut = rows::SessionRow { version: row.version + 1, ..row.clone() };
    let raised = office.world.db.db.write(|tx| {
        let cut = cut.clone();
        async move { rows::update(&tx, "main", &cut, row.version).await }
    });
    assert!(raised.await.unwrap());
    assert!(matches!(office.sessions.read(id).await, Err(SessionError::Sealed)));
});

on_both!(a_born_day_is_one_for_all_documents, |db: TestDb| {
    let office = Office::new(db).await;
    let mut graph = graph();
    graph["nodes"]["zone"]["next"] = json!("second");
    graph["nodes"]["second"] = json!({ "type": "check", "check": "mrz", "next": "lists" });
    office.publish("two", &graph).await;
    let begin = Begin { workflow: "two".into(), ..Begin::default() };
    let id = office.begin(begin).await.unwrap().row.id;
    office.give(id, ZONE).await.unwrap();
    let asked = office.sessions.asked(id, "second").await.unwrap();
    let born = Expected { date_of_birth: Some("1974-08-12".into()), ..Expected::default() };
    assert_eq!(asked.expected, born);
});

on_both!(what_a_decision_rests_on_is_written_down_with_it, |db: TestDb| {
    let office = Office::new(db).await;
    let asked =
        Begin { reference: Some("customer-9".into()), workflow: "kyc".into(), ..Begin::default() };
    let id = office.begin(asked).await.unwrap().row.id;
    assert!(matches!(office.sessions.evidence(id).await, Err(SessionError::NotDecided)));
    office.give(id, ZONE).await.unwrap();
    office.run().await;
    let evidence = office.sessions.evidence(id).await.unwrap();
    let decided = office.recorded().pop().unwrap();
    assert_eq!(decided.evidence, Some(evidence_digest(&evidence.salt, &evidence.text)));
    assert_eq!(evidence.salt.len(), EVIDENCE_SALT_BYTES);
    let event = office.world.db.recorded.events().pop().unwrap();
    assert_eq!((event.id, event.time), (evidence.event, evidence.at));
    let text: Value = serde_json::from_str(&evidence.text).unwrap();
    assert_eq!(text["reference"], "customer-9");
    assert_eq!(text["decision"]["verdict"], "approved");
    let nodes = text["reports"].as_array().unwrap().iter().map(|one| one["node"].clone());
    assert_eq!(nodes.collect::<Vec<_>>(), ["zone", "lists"]);
    assert_eq!(text["reports"][0]["report"]["seen"], true, "as the check gave it");
    let meaning = text["workflow"]["meaning"].to_string();
    assert_eq!(text["workflow"]["digest"], evidence_digest(&[], &meaning));

    // Whoever finds it in the log keeps the proof, and the first one stays.
    let decided = office.sessions.decided_here();
    let made = Decided { session: id, event: evidence.event, at: evidence.at, tries: 1 };
    assert_eq!(decided, [made]);
    assert!(office.sessions.decided_here().is_empty(), "they are taken once");
    let beginning = Timestamp::from_micros(0);
    let left = office.sessions.unproven(beginning, 9).await.unwrap();
    assert_eq!(left, [Decided { tries: 0, ..made }]);
    assert!(office.sessions.unproven(evidence.at, 9).await.unwrap().is_empty());
    assert!(evidence.proof.is_none());
    let found = |entry: &str| LogProof {
        entry: entry.into(),
        proof: "proof".into(),
        log_key: "key".into(),
    };
    for entry in ["first", "second"] {
        office.sessions.prove(id, &found(entry)).await.unwrap();
    }
    assert!(office.sessions.unproven(beginning, 9).await.unwrap().is_empty());
    assert_eq!(office.sessions.evidence(id).await.unwrap().proof, Some(found("first")));
    let (again, proof) = office.sessions.decided(id).await.unwrap();
    assert_eq!((again.event, proof), (evidence.event, Some(found("first"))));
    // Whoever takes it out of the house is told of.
    let by = (&machine(), &Origin::default());
    let taken = office.sessions.export_evidence(id, by.0, by.1).await.unwrap();
    assert_eq!((taken.text, taken.salt), (evidence.text, evidence.salt));
    let told = office.world.db.recorded.codes().pop();
    assert_eq!(told.as_deref(), Some("admin_idv_evidence_export"));
    // It is sealed like the rest, and goes with it.
    let row = evidence::of_session(&office.world.db.db, "main", id).await.unwrap().unwrap();
    for hidden in ["ERIKSSON", "customer-9", "approved"] {
        assert!(
            !row.sealed.windows(hidden.len()).any(|part| part == hidden.as_bytes()),
            "{hidden}"
        );
    }
    office.sessions.erase(id, &machine(), &Origin::default()).await.unwrap();
    assert!(matches!(office.sessions.evidence(id).await, Err(SessionError::Erased)));
    assert!(matches!(office.sessions.decided(id).await, Err(SessionError::Erased)));
    let late = office.sessions.export_evidence(id, by.0, by.1).await;
    assert!(matches!(late, Err(SessionError::Erased)));
    assert!(evidence::of_session(&office.world.db.db, "main", id).await.unwrap().is_none());
});

on_both!(what_is_not_in_the_log_is_looked_for_some_times, |db: TestDb| {
    let office = Office::new(db).await;
    let id = office.kyc().await.row.id;
    office.give(id, ZONE).await.unwrap();
    office.run().await;
    let mut looked = 0;
    while let Some(decided) = office.sessions.decided_here().pop() {
        looked += 1;
        office.sessions.wait_for(decided);
    }
    assert_eq!(looked, 10);
    // What is left is found in the database.
    let left = office.sessions.unproven(Timestamp::from_micros(0), 9).await.unwrap();
    assert_eq!(left.iter().map(|one| one.session).collect::<Vec<_>>(), [id]);
});

on_both!(one_account_is_one_person, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("verifies", &verifying()).await;
    let alice = office.account(1, "alice").await;
    office.verify(alice, Some(true), Verdict::Approved).await;
    // Another level stands beside it.
    let mut low = verifying();
    low["verifies"]["assurance_level"] = json!("low");
    let workflow = office.sessions.workflows("", 9).await.unwrap();
    let workflow = workflow.iter().find(|one| one.name == "verifies").unwrap();
    let (by, origin) = (machine(), Origin::default());
    let changed = office.sessions.draft(workflow.id, workflow.revision, &low, (&by, &origin));
    let revision = changed.await.unwrap().revision;
    office.sessions.publish(workflow.id, revision, "", (&by, &origin)).await.unwrap();
    office.verify(alice, Some(true), Verdict::Approved).await;
    let levels = office.identities(alice).await;
    let levels = levels.iter().map(|one| one["verification"]["assurance_level"].clone());
    assert_eq!(levels.collect::<Vec<_>>(), ["high", "low"]);
    // Somebody who was born on another day is somebody else.
    let mut other = chip(&office, true).await;
    other.found.passive.zone.as_mut().unwrap().date_of_birth = "1980-01-01".into();
    let asked = Begin { workflow: "verifies".into(), account: Some(alice), ..Begin::default() };
    let id = office.begin(asked).await.unwrap().row.id;
    let serial = office.sessions.asked(id, "chip").await.unwrap().serial;
    let given = Given::Report(&other, Value::Null);
    office.sessions.given(id, serial, given, (&by, &origin)).await.unwrap();
    office.vote(id, "one", Verdict::Approved).await.unwrap();
    assert_eq!(office.recorded().pop().unwrap().verified, Some("other_person"));
    let born: Vec<Value> = office.identities(alice).await;
    assert!(born.iter().all(|one| one["claims"]["birthdate"] == "1974-08-12") && born.len() == 2);
});

/// A chip with the zone of the specimen; whether an authority that is trusted stands behind it.
async fn chip(office: &Office, proven: bool) -> Report<EmrtdReport> {
    let asked = ZoneAsked { text: ZONE.to_owned(), find: false, expected: Expected::default() };
    let read = office.checks.zone(asked, &machine(), &Origin::default()).await.unwrap();
    let passive = Passive {
        findings: Vec::new(),
        zone_findings: Vec::new(),
        chain: if proven { Chain::Verified } else { Chain::Unverified },
        groups: Vec::new(),
        hash: None,
        signer: None,
        authority: None,
        signing_time: None,
        zone: read.found.zone.clone(),
        holds: true,
    };
    let (status, assurance) = match proven {
        true => (CheckStatus::Passed, Assurance::Cryptographic),
        false => (CheckStatus::Review, Assurance::SelfAsserted),
    };
    let why = Finding::from(Code::ActiveAuthenticationUnsupported);
    let found = EmrtdReport { passive, active: Active::NotPerformed(why), is_fresh: false };
    Report {
        id: read.id,
        check: "emrtd",
        status,
        assurance,
        findings: Vec::new(),
        inputs_hash: read.inputs_hash,
        trust: None,
        started_at: read.started_at,
        ms: 1,
        found,
    }
}

fn verifying() -> Value {
    json!({
        "schema": "idv.workflow/1",
        "start": "chip",
        "verifies": { "trust_framework": "ours", "assurance_level": "high", "from": "chip" },
        "nodes": {
            "chip": { "type": "check", "check": "emrtd", "require": ["passive"],
                      "on_unsupported": { "set": "review" }, "next": "human" },
            "human": { "type": "review", "approvers": 1 }
        }
    })
}

impl Office {
    async fn account(&self, seed: u64, name: &str) -> Id<tags::User> {
        let id = Id::new(START, &*SeededEntropy::new(seed));
        let account = accounts::Account::new(id, name, &format!("{name}@example.org"), START);
        let account = &account;
        let added = self
            .world
            .db
            .db
            .write(|tx| async move { accounts::insert(&tx, "main", account).await });
        added.await.unwrap();
        id
    }

    /// A session about an account: its chip, and what a person says then.
    async fn verify(&self, account: Id<tags::User>, proven: Option<bool>, says: Verdict) -> Open {
        let workflow = "verifies".to_owned();
        let asked = Begin { workflow, account: Some(account), ..Begin::default() };
        let id = self.begin(asked).await.unwrap().row.id;
        let asked = self.sessions.asked(id, "chip").await.unwrap().serial;
        let by = (&machine(), &Origin::default());
        let report = match proven {
            Some(proven) => Some(chip(self, proven).await),
            None => None,
        };
        let given = match &report {
            Some(report) => Given::Report(report, Value::Null),
            None => Given::Unsupported("no_chip".into()),
        };
        self.sessions.given(id, asked, given, by).await.unwrap();
        self.vote(id, "one", says).await.unwrap()
    }

    async fn identities(&self, account: Id<tags::User>) -> Vec<Value> {
        let found = self.sessions.identities(account).await.unwrap();
        found.into_iter().map(|identity| identity.verified).collect()
    }
}

on_both!(an_account_belongs_to_whom_a_chip_proves, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("verifies", &verifying()).await;
    let (alice, bob) = (office.account(1, "alice").await, office.account(2, "bob").await);
    // Nobody else than the chip tells, and nobody who declines.
    for (proven, says, why) in [
        (Some(false), Verdict::Approved, "not_proven"),
        (None, Verdict::Approved, "not_proven"),
        (Some(true), Verdict::Declined, "not_approved"),
    ] {
        office.verify(alice, proven, says).await;
        assert!(office.identities(alice).await.is_empty(), "{proven:?} {says:?}");
        assert_eq!(office.recorded().pop().unwrap().verified, Some(why));
    }
    let open = office.verify(alice, Some(true), Verdict::Approved).await;
    let decided = office.recorded().pop().unwrap();
    assert_eq!((decided.verified, decided.account), (Some("kept"), Some(alice.to_string())));
    let told = office.identities(alice).await.remove(0);
    assert_eq!(
        told["claims"],
        json!({ "given_name": "ANNA MARIA", "family_name": "ERIKSSON", "birthdate": "1974-08-12",
                "nationalities": ["UTO"] })
    );
    let verification = &told["verification"];
    assert_eq!(
        (&verification["trust_framework"], &verification["assurance_level"]),
        (&json!("ours"), &json!("high"))
    );
    assert_eq!(verification["verification_process"], open.row.id.to_string());
    let evidence = &verification["evidence"][0];
    assert_eq!(evidence["check_details"][0]["check_method"], "vcrypt");
    assert_eq!(
        evidence["document_details"],
        json!({ "type": "passport", "document_number": "L898902C3", "date_of_expiry": "2012-04-15",
                "issuer": { "country": "UTO" } })
    );
    // It is sealed for this account and no other.
    let row = identities::of_account(&office.world.db.db, "main", alice).await.unwrap().remove(0);
    assert!(!row.sealed.windows(8).any(|part| part == b"ERIKSSON"));
    let sealer = Sealer::new(&[7; 32]).unwrap();
    assert!(row.open(&sealer).is_ok());
    let (of, sealed) = (IdentityOf { account: bob, ..row.of() }, row.sealed);
    let (moved, at) = ((&of, &sealed), row.verified_at);
    let put = office
        .world
        .db
        .db
        .write(|tx| async move { identities::put(&tx, "main", moved.0, at, moved.1).await });
    put.await.unwrap();
    let moved = identities::of_account(&office.world.db.db, "main", bob).await.unwrap().remove(0);
    assert!(moved.open(&sealer).is_err());
    let gone =
        office.world.db.db.write(|tx| async move { identities::revoke(&tx, "main", bob).await });
    assert_eq!(gone.await.unwrap(), 1);
    assert!(office.identities(bob).await.is_empty());

    // The newest counts, and what is declined later takes nothing away.
    let newer = office.verify(alice, Some(true), Verdict::Approved).await.row.id;
    office.verify(alice, Some(true), Verdict::Declined).await;
    let now = office.identities(alice).await;
    assert_eq!(now.len(), 1);
    assert_eq!(now[0]["verification"]["verification_process"], newer.to_string());
    // It goes with its session,
    office.sessions.erase(open.row.id, &machine(), &Origin::default()).await.unwrap();
    assert_eq!(office.identities(alice).await.len(), 1);
    office.sessions.erase(newer, &machine(), &Origin::default()).await.unwrap();
    assert!(office.identities(alice).await.is_empty());
    // or when somebody takes it away,
    office.verify(alice, Some(true), Verdict::Approved).await;
    let by = (&machine(), &Origin::default());
    office.sessions.revoke_identities(alice, by.0, by.1).await.unwrap();
    let again = office.sessions.revoke_identities(alice, by.0, by.1).await;
    assert!(matches!(again, Err(SessionError::NotFound)));
    assert!(office.identities(alice).await.is_empty());
    // for sessions that are going on as well,
    let asked = Begin { workflow: "verifies".into(), account: Some(alice), ..Begin::default() };
    let going = office.begin(asked).await.unwrap().row.id;
    office.sessions.revoke_identities(alice, by.0, by.1).await.unwrap();
    assert_eq!(office.read(going).await.row.account_id, None);
    // or with the account, after which a session comes to its end all the same.
    let kept = office.verify(alice, Some(true), Verdict::Approved).await.row.id;
    let gone =
        office.world.db.db.write(|tx| async move { accounts::delete(&tx, "main", alice).await });
    gone.await.unwrap();
    assert!(matches!(office.sessions.identities(alice).await, Err(SessionError::NotFound)));
    let left = identities::of_account(&office.world.db.db, "main", alice).await.unwrap();
    assert!(left.is_empty() && office.status(kept).await == "approved");
    assert_eq!(office.read(kept).await.row.account_id, None);
});

on_both!(an_account_that_goes_meanwhile_stops_no_decision, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("verifies", &verifying()).await;
    let alice = office.account(1, "alice").await;
    let asked = Begin { workflow: "verifies".into(), account: Some(alice), ..Begin::default() };
    let id = office.begin(asked.clone()).await.unwrap().row.id;
    let serial = office.sessions.asked(id, "chip").await.unwrap().serial;
    let report = chip(&office, true).await;
    let given = Given::Report(&report, Value::Null);
    office.sessions.given(id, serial, given, (&machine(), &Origin::default())).await.unwrap();
    let gone =
        office.world.db.db.write(|tx| async move { accounts::delete(&tx, "main", alice).await });
    gone.await.unwrap();
    let open = office.vote(id, "one", Verdict::Approved).await.unwrap();
    assert_eq!(open.state.status.as_str(), "approved");
    assert_eq!(office.recorded().pop().unwrap().verified, Some("no_account"));
    assert!(matches!(office.begin(asked).await, Err(SessionError::Invalid("account", _))));
});

on_both!(nobody_verifies_by_rules_that_are_not_theirs, |db: TestDb| {
    let office = Office::new(db).await;
    for (at, value, code) in [
        ("/verifies/trust_framework", json!("theirs"), "unknown_trust_framework"),
        ("/verifies/trust_framework", json!("a b"), "form"),
        ("/verifies/assurance_level", json!(""), "form"),
        ("/verifies/from", json!("human"), "proves_nothing"),
        ("/verifies/from", json!("nobody"), "proves_nothing"),
        ("/nodes/chip/require", json!([]), "proves_nothing"),
        ("/nodes/chip/check", json!("mrz"), "proves_nothing"),
    ] {
        let mut graph = verifying();
        *graph.pointer_mut(at).unwrap() = value;
        let problems = office.sessions.problems(&graph).unwrap();
        assert!(problems.iter().any(|problem| problem.code == code), "{at}: {problems:?}");
        let (by, origin) = (machine(), Origin::default());
        let name = format!("{code}{}", graph.to_string().len());
        let made = office.sessions.create_workflow(&name, &graph, &by, &origin).await.unwrap();
        let published = office.sessions.publish(made.id, 1, "", (&by, &origin)).await;
        assert!(matches!(published, Err(SessionError::Graph(_))), "{at}");
    }
    assert!(office.sessions.problems(&verifying()).unwrap().is_empty());
});

fn listing(lists: &[&str]) -> Value {
    json!({
        "schema": "idv.workflow/1",
        "start": "zone",
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "own" },
            "own": { "type": "check", "check": "lists", "lists": lists, "next": "route" },
            "route": { "type": "branch", "else": "end", "cases": [
                { "id": "known", "goto": "yes", "when": { "cel": "lists.allowed" } },
                { "id": "watched", "goto": "human", "when": { "cel": "'watch' in lists.lists" } }
            ] },
            "human": { "type": "review" },
            "yes": { "type": "decide", "set": "approved" },
            "end": { "type": "decide", "rule": "fold" }
        }
    })
}

impl Office {
    async fn list(&self, name: &str, purpose: &str) -> Id<tags::IdvList> {
        let by = (&machine(), &Origin::default());
        self.sessions.create_list((name, purpose, ""), by).await.unwrap().id
    }

    async fn put(&self, list: Id<tags::IdvList>, kind: ListKind, value: &str) -> usize {
        let entry =
            ListedEntry { kind, value: value.into(), note: "seen".into(), expires_at: None };
        let by = (&machine(), &Origin::default());
        self.sessions.add_entries(list, &[entry], by).await.unwrap()
    }

    /// What comes of a session of somebody with these identifiers.
    async fn listed(&self, identifiers: &[(ListKind, &str)]) -> Open {
        let identifiers = identifiers.iter().map(|(kind, value)| (*kind, (*value).to_owned()));
        let asked = Begin {
            workflow: "listing".into(),
            reference: Some("customer-9".into()),
            identifiers: identifiers.collect(),
            ..Begin::default()
        };
        let id = self.begin(asked).await.unwrap().row.id;
        self.give(id, ZONE).await.unwrap();
        self.run().await;
        self.read(id).await
    }
}

on_both!(what_is_on_a_list_counts, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("listing", &listing(&[])).await;
    let fields = |open: &Open| {
        let values = &open.state.done["own"].values;
        (values["blocked"].clone(), values["lists"].clone(), values["kinds"].clone())
    };
    let flag = portcullis_workflow::Value::Flag;
    let texts = |all: &[&str]| {
        portcullis_workflow::Value::Texts(all.iter().map(|text| (*text).to_owned()).collect())
    };
    let mail = [(ListKind::Email, "Alice@Example.org")];
    let none = office.listed(&mail).await;
    assert_eq!(fields(&none), (flag(false), texts(&[]), texts(&[])));

    let block = office.list("fraud", "block").await;
    assert_eq!(office.put(block, ListKind::Email, "alice@example.org ").await, 1);
    assert_eq!(office.put(block, ListKind::Email, "ALICE@example.org").await, 0, "it is there");
    let open = office.listed(&mail).await;
    assert_eq!(fields(&open), (flag(true), texts(&["fraud"]), texts(&["email"])));
    assert_eq!(open.state.status.as_str(), "declined");
    let codes = open.state.done["own"].values["codes"].clone();
    assert_eq!(codes, texts(&["block_listed"]));
    // By its kind: the same text as something else is something else.
    let other = office.listed(&[(ListKind::Key, "alice@example.org")]).await;
    assert_eq!(fields(&other).0, flag(false));

    // The document of the person, their country and how they are called are looked for by themselves.
    let watch = office.list("watch", "custom").await;
    office.put(watch, ListKind::Document, "UTO:L898902C3").await;
    let open = office.listed(&[]).await;
    assert_eq!(open.state.status.as_str(), "in_review");
    assert_eq!(fields(&open), (flag(false), texts(&["watch"]), texts(&["document"])));
    office.put(block, ListKind::Country, "UTO").await;
    assert_eq!(fields(&office.listed(&[]).await).0, flag(true));
    // Who is allowed goes the way that the graph has for them.
    let allow = office.list("staff", "allow").await;
    office.put(allow, ListKind::User, "customer-9").await;
    let open = office.listed(&[(ListKind::IpAddress, "198.51.100.7")]).await;
    assert_eq!(open.state.status.as_str(), "approved");
    let networks = office.list("networks", "block").await;
    office.put(networks, ListKind::IpAddress, "198.51.100.0/24").await;
    let open = office.listed(&[(ListKind::IpAddress, "198.51.100.7")]).await;
    assert_eq!(fields(&open).1, texts(&["fraud", "networks", "staff", "watch"]));

    // Only the lists that are named, and only those that are there.
    let by = (&machine(), &Origin::default());
    office.sessions.remove_list(allow, by).await.unwrap();
    let workflow = office.sessions.workflows("", 9).await.unwrap();
    let workflow = workflow.iter().find(|one| one.name == "listing").unwrap();
    let graph = listing(&["watch"]);
    let drawn = office.sessions.draft(workflow.id, workflow.revision, &graph, by);
    let revision = drawn.await.unwrap().revision;
    office.sessions.publish(workflow.id, revision, "", by).await.unwrap();
    let open = office.listed(&mail).await;
    assert_eq!(fields(&open), (flag(false), texts(&["watch"]), texts(&["document"])));
    office.sessions.remove_list(watch, by).await.unwrap();
    let open = office.listed(&mail).await;
    let own = &open.state.done["own"];
    assert_eq!((own.status, own.why.as_deref()), (CheckStatus::Error, Some("no_such_list")));
});

on_both!(whoever_hands_in_another_document_is_still_who_they_were, |db: TestDb| {
    let office = Office::new(db).await;
    let mut graph = listing(&[]);
    graph["nodes"]["zone"]["next"] = json!("human");
    graph["nodes"]["human"]["on_approved"] = json!("own");
    graph["nodes"]["human"]["on_declined"] = json!("no");
    graph["nodes"]["no"] = json!({ "type": "decide", "set": "declined" });
    graph["nodes"]["route"]["cases"] = json!([
        { "id": "known", "goto": "yes", "when": { "cel": "lists.allowed" } }
    ]);
    office.publish("listing", &graph).await;
    let fraud = office.list("fraud", "block").await;
    office.put(fraud, ListKind::Document, "UTO:L898902C3").await;
    let allow = office.list("staff", "allow").await;
    // The zone of the specimen has expired, so that its check fails: nobody is allowed by it.
    office.put(allow, ListKind::Document, "UTO:L898902C3").await;
    let asked = Begin { workflow: "listing".into(), ..Begin::default() };
    let id = office.begin(asked).await.unwrap().row.id;
    office.give(id, ZONE).await.unwrap();
    let version = office.read(id).await.row.version;
    let nodes = ["zone".to_owned()].into();
    let again = (version, nodes, "BLURRED".to_owned());
    office.sessions.resubmit(id, again, &reviewer("one"), &Origin::default()).await.unwrap();
    // Another number with check digits that fit: 1 less in the number, and in all that is counted with it.
    let other = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C<3UTO6908061F9406236ZE184226B<<<<<14";
    office.give(id, other).await.unwrap();
    office.vote(id, "one", Verdict::Approved).await.unwrap();
    office.run().await;
    let open = office.read(id).await;
    let values = &open.state.done["own"].values;
    assert_eq!(values["blocked"], portcullis_workflow::Value::Flag(true), "{values:?}");
    assert_eq!(values["allowed"], portcullis_workflow::Value::Flag(false), "{values:?}");
});

on_both!(lists_are_kept_and_tell_nothing, |db: TestDb| {
    let office = Office::new(db).await;
    let by = (&machine(), &Origin::default());
    let list = office.list("fraud", "block").await;
    let twice = office.sessions.create_list(("fraud", "allow", ""), by).await;
    assert!(matches!(twice, Err(SessionError::Invalid("name", _))));
    for (name, purpose) in [("a b", "block"), ("x", "deny"), ("", "block")] {
        assert!(office.sessions.create_list((name, purpose, ""), by).await.is_err(), "{name}");
    }
    office.put(list, ListKind::Phone, "+49 30 1234567").await;
    // All or none.
    let entry = |value: &str| ListedEntry {
        kind: ListKind::Phone,
        value: value.into(),
        note: String::new(),
        expires_at: None,
    };
    let wrong = office.sessions.add_entries(list, &[entry("+491"), entry("x")], by).await;
    assert!(matches!(wrong, Err(SessionError::Invalid("entries", _))));
    let past = ListedEntry { expires_at: Some(START), ..entry("+49301234568") };
    assert!(office.sessions.add_entries(list, &[past], by).await.is_err());
    assert!(office.sessions.add_entries(list, &[], by).await.is_err());
    let soon = START.plus(Duration::from_secs(60));
    let ends = ListedEntry { expires_at: Some(soon), ..entry("+49301234568") };
    assert_eq!(office.sessions.add_entries(list, &[ends], by).await.unwrap(), 1);
    assert_eq!(office.sessions.list(list).await.unwrap().size, 2);
    let shown = office.sessions.entries(list, "", 9).await.unwrap();
    assert_eq!((&shown[0].value[..], &shown[0].note[..]), ("+49 30 1234567", "seen"));
    // The database has no number, and neither has the log.
    let rows = lists::entries(&office.world.db.db, "main", list, "", 9).await.unwrap();
    let stored = format!("{rows:?}");
    assert!(!stored.contains("1234567"));
    assert!(!rows[0].sealed.windows(7).any(|part| part == b"1234567"));
    let told = format!("{:?}", office.world.db.recorded.events());
    assert!(!told.contains("1234567") && told.contains("idv_list"));
    // What is over counts no more, whether it was removed or not.
    let found = |digest: &str| format!("[\"{digest}\"]");
    let digest = found(&rows[1].digest);
    let at = |now| lists::listed(&office.world.db.db, "main", &digest, now);
    assert_eq!(at(START).await.unwrap().len() + at(soon).await.unwrap().len(), 1);
    office.sessions.remove_entry(list, shown[0].row.id, by).await.unwrap();
    let again = office.sessions.remove_entry(list, shown[0].row.id, by).await;
    assert!(matches!(again, Err(SessionError::NotFound)));
    office.sessions.remove_list(list, by).await.unwrap();
    assert!(matches!(office.sessions.entries(list, "", 9).await, Err(SessionError::NotFound)));
    let codes = office.world.db.recorded.codes();
    for action in ["create", "add", "remove", "delete"] {
        assert!(codes.contains(&format!("admin_idv_list_{action}")), "{action}");
    }
});

on_both!(a_review_is_looked_after_and_written_about, |db: TestDb| {
    let office = Office::new(db).await;
    let id = office.kyc().await.row.id;
    let (plain, one, two) = (
        office.account(1, "plain").await,
        office.account(2, "one").await,
        office.account(3, "two").await,
    );
    for account in [one, two] {
        let found = accounts::by_id(&office.world.db.db, "main", account).await.unwrap().unwrap();
        let officer = &accounts::Account { roles: "compliance".into(), ..found };
        let made = office.world.db.db.write(|tx| async move {
            accounts::delete(&tx, "main", officer.id).await?;
            accounts::insert(&tx, "main", officer).await
        });
        made.await.unwrap();
    }
    let (by, origin) = (machine(), Origin::default());
    let assign = |from, to| office.sessions.assign(id, (from, to), (&by, &origin));
    assert!(matches!(assign(None, Some(plain)).await, Err(SessionError::Invalid("account", _))));
    assert_eq!(assign(None, Some(one)).await.unwrap().assignee, Some(one.to_string()));
    // Of two who take it at once one is told.
    assert!(matches!(assign(None, Some(two)).await, Err(SessionError::Stale)));
    assign(Some(one), Some(two)).await.unwrap();
    let two_text = two.to_string();
    let filter = SessionFilter { assignee: &two_text, ..SessionFilter::default() };
    assert_eq!(office.sessions.page(filter, "", 9).await.unwrap().len(), 1);
    // It is a mark beside the session, which goes on as before.
    assert_eq!(office.read(id).await.row.version, 1);
    office.give(id, ZONE).await.unwrap();

    let note = |text: &'static str| async {
        office.sessions.note(id, text, &reviewer("one"), &Origin::default()).await
    };
    assert_eq!(note("Looks like a copy.").await.unwrap().number, 1);
    assert_eq!(note("Called them.\nThey said so.").await.unwrap().number, 2);
    for bad in ["", "  \n", "a\u{7}b"] {
        assert!(matches!(note(bad).await, Err(SessionError::Invalid("text", _))), "{bad:?}");
    }
    let notes = office.sessions.notes(id, 1, 9).await.unwrap();
    assert_eq!((notes.len(), &notes[0].text[..]), (1, "Called them.\nThey said so."));
    let rows = notes::of_session(&office.world.db.db, "main", id, 0, 9).await.unwrap();
    assert!(!rows[0].sealed.windows(4).any(|part| part == b"copy"));
    let told = format!("{:?}", office.world.db.recorded.events());
    assert!(!told.contains("copy") && !told.contains("Called"), "the log has no word of it");
    let changes: Vec<_> = office.recorded().iter().map(|one| one.change).collect();
    assert_eq!(changes, ["began", "assigned", "assigned", "given", "noted", "noted"]);

    // Whoever goes has nothing any more, and what was erased is gone.
    let gone =
        office.world.db.db.write(|tx| async move { accounts::delete(&tx, "main", two).await });
    gone.await.unwrap();
    assert_eq!(office.read(id).await.row.assignee, None);
    office.run().await;
    assert!(matches!(assign(None, Some(one)).await, Err(SessionError::Refused(Refused::Over))));
    assert!(note("Afterwards.").await.is_ok());
    office.sessions.erase(id, &by, &origin).await.unwrap();
    let left = notes::of_session(&office.world.db.db, "main", id, 0, 9).await.unwrap();
    assert!(left.is_empty());
    assert!(matches!(note("Too late.").await, Err(SessionError::Erased)));
    assert!(matches!(office.sessions.notes(id, 0, 9).await, Err(SessionError::Erased)));
});

on_both!(a_session_has_so_many_notes, |db: TestDb| {
    let office = Office::new(db).await;
    let id = office.kyc().await.row.id;
    let write =
        || async { office.sessions.note(id, "x", &reviewer("one"), &Origin::default()).await };
    for _ in 0..200 {
        write().await.unwrap();
    }
    assert!(matches!(write().await, Err(SessionError::Invalid("text", _))));
});

on_both!(nothing_is_done_that_is_not_recorded, |db: TestDb| {
    let office = Office::new(db).await;
    let id = office.kyc().await.row.id;
    office.world.db.recorded.refuse(true);
    let cancelled = office.sessions.cancel(id, "GONE", &machine(), &Origin::default()).await;
    assert!(cancelled.is_err());
    office.world.db.recorded.refuse(false);
    // It is stored with its entry, which the outbox brings to the log.
    assert_eq!(office.status(id).await, "cancelled");
    let twice = office.sessions.cancel(id, "GONE", &machine(), &Origin::default()).await;
    assert!(matches!(twice, Err(SessionError::Refused(Refused::Over))));
});

on_both!(whoever_dies_leaves_it_to_others, |db: TestDb| {
    let office = Office::new(db).await;
    let other = node(&office.world, &office.world.another_node(), 99, no_way_out());
    let mut finished = 0;
    for polls in 1..60 {
        let id = office.kyc().await.row.id;
        // At whatever place it ends, a step was taken as a whole or not at all.
        drop(killed(polls, office.give(id, ZONE)).await);
        office.is_whole(id).await;
        if !office.read(id).await.asked().is_empty() {
            office.give(id, ZONE).await.unwrap();
        }
        let ended = killed(polls, office.sessions.run_due()).await;
        finished += u32::from(ended.is_some());
        office.is_whole(id).await;
        // Nobody else takes it before its time is over, and then somebody does.
        office.world.clock.advance(Duration::from_secs(61));
        set(&other.aml, &[&FakeList::new("un", 1, vec![person("q", "Somebody Else", &[])])]);
        while other.run_due().await.unwrap() > 0 {}
        assert_eq!(office.status(id).await, "approved", "killed after {polls}");
        let performed = office.sessions.events(id, 0, 100).await.unwrap();
        let kinds: Vec<&str> = performed.iter().map(|(_, one)| one.event.kind()).collect();
        assert_eq!(kinds, ["began", "given", "performed"], "what came of a check counts once");
        office.is_whole(id).await;
    }
    assert!(finished > 0, "some were not killed at all");
});

fn needed(wait: u64, is_watched: bool) -> Needed<'static> {
    Needed {
        workflow: "owners",
        retry_after: Duration::from_secs(wait),
        is_watched,
        is_bound: false,
    }
}

impl Office {
    /// The session of somebody who logs in, in which they are verified.
    async fn owner(&self, account: Id<tags::User>) -> Result<Option<Open>, SessionError> {
        let owner = Owner { account, locale: Some("de".into()), passkey: None };
        self.sessions
            .for_owner(&owner, needed(3_600, false), (&machine(), &Origin::default()))
            .await
    }

    async fn proven(&self, account: Id<tags::User>) -> Option<i64> {
        let db = &self.world.db.db;
        let row = proofs::of_account(db, "main", account, "owners").await.unwrap();
        row.filter(|row| row.is_proven).map(|row| row.workflow_version)
    }

    async fn owner_is(&self, id: Id<tags::IdvSession>, says: Verdict) {
        self.give(id, ZONE).await.unwrap();
        self.vote(id, "one", says).await.unwrap();
    }
}

on_both!(whoever_logs_in_is_verified_once_and_the_last_decision_counts, |db: TestDb| {
    let office = Office::new(db).await;
    let (alice, bob) = (office.account(1, "alice").await, office.account(2, "bob").await);
    assert!(matches!(office.owner(alice).await, Err(SessionError::NotPublished)));
    let graph = json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": { "zone": { "type": "check", "check": "mrz", "next": "human" },
                   "human": { "type": "review", "approvers": 1 } }
    });
    office.publish("owners", &graph).await;
    let first = office.owner(alice).await.unwrap().unwrap();
    assert_eq!(first.row.account(), Some(alice));
    assert_eq!((&first.row.reference[..], &first.start.locale[..]), (&alice.to_string()[..], "de"));
    // It goes on, for her and nobody else.
    let again = office.owner(alice).await.unwrap().unwrap();
    assert_eq!(again.row.id, first.row.id);
    let other = office.owner(bob).await.unwrap().unwrap();
    assert_ne!(other.row.id, first.row.id);
    office.owner_is(first.row.id, Verdict::Approved).await;
    assert_eq!((office.proven(alice).await, office.proven(bob).await), (Some(1), None));
    // Another one that is declined takes it back, and she waits.
    office.world.clock.advance(Duration::from_secs(1));
    let second = office.owner(alice).await.unwrap().unwrap();
    office.owner_is(second.row.id, Verdict::Declined).await;
    assert_eq!(office.proven(alice).await, None);
    assert!(office.owner(alice).await.unwrap().is_none());
    office.world.clock.advance(Duration::from_secs(3_601));
    let third = office.owner(alice).await.unwrap().unwrap();
    office.owner_is(third.row.id, Verdict::Approved).await;
    assert_eq!(office.proven(alice).await, Some(1));
    // A refusal stays when its session is erased, or that would be another try.
    let fourth =
        office.begin(Begin { workflow: "owners".into(), account: Some(alice), ..Begin::default() });
    let fourth = fourth.await.unwrap().row.id;
    office.owner_is(fourth, Verdict::Declined).await;
    office.sessions.erase(fourth, &machine(), &Origin::default()).await.unwrap();
    assert!(office.owner(alice).await.unwrap().is_none());
    // Unless somebody gives them another one.
    office.world.clock.advance(Duration::from_secs(1));
    let given = Begin { workflow: "owners".into(), account: Some(alice), ..Begin::default() };
    let given = office.begin(given).await.unwrap().row.id;
    assert_eq!(office.owner(alice).await.unwrap().unwrap().row.id, given);
    office.owner_is(given, Verdict::Approved).await;
    let third =
        office.begin(Begin { workflow: "owners".into(), account: Some(alice), ..Begin::default() });
    let third = third.await.unwrap();
    office.owner_is(third.row.id, Verdict::Approved).await;
    // It goes with its session,
    office.sessions.erase(third.row.id, &machine(), &Origin::default()).await.unwrap();
    assert_eq!(office.proven(alice).await, None);
    // by hand,
    office.owner_is(other.row.id, Verdict::Approved).await;
    office.sessions.revoke_identities(bob, &machine(), &Origin::default()).await.unwrap();
    assert_eq!(office.proven(bob).await, None);
    // and with the account, which stops no decision.
    let last = office.owner(bob).await.unwrap().unwrap();
    office.give(last.row.id, ZONE).await.unwrap();
    let gone =
        office.world.db.db.write(|tx| async move { accounts::delete(&tx, "main", bob).await });
    gone.await.unwrap();
    office.vote(last.row.id, "one", Verdict::Approved).await.unwrap();
    assert_eq!(office.proven(bob).await, None);
});

on_both!(links_are_derived_and_open_one_session, |db: TestDb| {
    let office = Office::new(db).await;
    let (one, other) = (office.kyc().await.row.id, office.kyc().await.row.id);
    let sessions = &office.sessions;
    let token = sessions.client_token(one);
    assert_eq!(token, sessions.client_token(one));
    assert_eq!(sessions.by_client_token(&token), Some(one));
    let (id, mac) = token.split_once('.').unwrap();
    for forged in [
        format!("{other}.{mac}"),
        format!("{}.{mac}", id.to_uppercase()),
        format!("{id}.{mac}="),
        format!("{id}.{}", &mac[1..]),
        format!("{id}..{mac}"),
        format!(" {token}"),
        id.to_owned(),
        String::new(),
    ] {
        assert_eq!(sessions.by_client_token(&forged), None, "{forged}");
    }
    // What was wrong with the last try is told with the step.
    let wrong = ZONE.replace("L898902C36", "L898902C37");
    let open = office.give(one, &wrong).await.unwrap();
    let step = open.steps().next().unwrap();
    assert_eq!((step.node, step.check, step.attempt), ("zone", "mrz", 2));
    assert_eq!(step.found[0].code, "check_digit_wrong");
    let read = office.read(one).await;
    assert_eq!(read.steps().next().unwrap().found, step.found);
});

on_both!(however_often_somebody_asks_at_once_there_is_one_session, |db: TestDb| {
    let office = Office::new(db).await;
    let alice = office.account(1, "alice").await;
    let graph = json!({
        "schema": "idv.workflow/1", "start": "zone",
        "limits": { "attempts": 1, "ttl": "PT1M" },
        "nodes": { "zone": { "type": "check", "check": "mrz", "next": "more" },
                   "more": { "type": "check", "check": "mrz", "next": "end" },
                   "end": { "type": "decide", "rule": "fold" } }
    });
    office.publish("owners", &graph).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let sessions = office.sessions.clone();
        tasks.spawn(async move {
            let owner = Owner { account: alice, locale: None, passkey: None };
            let by = (&machine(), &Origin::default());
            let open = sessions.for_owner(&owner, needed(60, false), by).await;
            open.unwrap().unwrap().row.id
        });
    }
    let ids: std::collections::BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    // Whoever lets the time run out after a step that failed has had that try.
    let id = *ids.first().unwrap();
    office.give(id, &ZONE.replace("L898902C36", "L898902C37")).await.unwrap();
    office.world.clock.advance(Duration::from_secs(61));
    office.run().await;
    assert_eq!(office.read(id).await.row.status, "expired");
    assert!(office.owner(alice).await.unwrap().is_none());
    // Whoever gave nothing has not.
    office.world.clock.advance(Duration::from_secs(3_600));
    let id = office.owner(alice).await.unwrap().unwrap().row.id;
    office.world.clock.advance(Duration::from_secs(61));
    office.run().await;
    assert_eq!(office.read(id).await.row.status, "expired");
    assert!(office.owner(alice).await.unwrap().is_some());
});

on_both!(somebody_else_proves_nothing_for_an_account, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("verifies", &verifying()).await;
    let graph = json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": { "zone": { "type": "check", "check": "mrz", "next": "human" },
                   "human": { "type": "review", "approvers": 1 } }
    });
    office.publish("owners", &graph).await;
    let alice = office.account(1, "alice").await;
    // Begun before the chip told who she is, and answered after.
    let early = office.owner(alice).await.unwrap().unwrap().row.id;
    office.verify(alice, Some(true), Verdict::Approved).await;
    let other = "P<UTOHACKER<<MALLORY<<<<<<<<<<<<<<<<<<<<<<<<\nX123456785UTO9001011F3501014<<<<<<<<<<<<<<06";
    let given = office.give(early, other).await.unwrap();
    let known = given.state.done["zone"].values.get("date_of_birth").cloned();
    assert_eq!(known, Some(portcullis_workflow::Value::Text("1990-01-01".into())));
    office.vote(early, "one", Verdict::Approved).await.unwrap();
    assert_eq!(office.proven(alice).await, None);
    assert!(office.owner(alice).await.unwrap().is_none(), "it is a refusal");
    // What was approved before anybody knew whose the account is counts no more when a chip tells it.
    let bob = office.account(2, "bob").await;
    let early = office.owner(bob).await.unwrap().unwrap().row.id;
    office.give(early, other).await.unwrap();
    office.vote(early, "one", Verdict::Approved).await.unwrap();
    assert_eq!(office.proven(bob).await, Some(1));
    office.verify(bob, Some(true), Verdict::Approved).await;
    assert_eq!(office.proven(bob).await, None);
    let late = office.owner(bob).await.unwrap().unwrap().row.id;
    office.owner_is(late, Verdict::Approved).await;
    assert_eq!(office.proven(bob).await, Some(1));
});

/// Screens the holder of the document and keeps at it; people decide in the end.
fn watching(monitor: bool) -> Value {
    json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": { "zone": { "type": "check", "check": "mrz", "next": "lists" },
                   "lists": { "type": "check", "check": "aml", "monitor": monitor, "next": "human" },
                   "human": { "type": "review", "approvers": 1 } }
    })
}

impl Office {
    /// Whether an approval counts that has to rest on a screening which goes on and has found nothing since.
    async fn clear(&self, account: Id<tags::User>) -> bool {
        let db = &self.world.db.db;
        let row = proofs::of_account(db, "main", account, "owners").await.unwrap();
        row.is_some_and(|row| row.is_proven && row.is_clear)
    }

    async fn watched(&self, account: Id<tags::User>) -> Result<Option<Open>, SessionError> {
        let (owner, by) = (Owner { account, locale: None, passkey: None }, machine());
        self.sessions.for_owner(&owner, needed(60, true), (&by, &Origin::default())).await
    }

    /// Has the owner of an account approved, who is the holder of the specimen.
    async fn approve(&self, account: Id<tags::User>) {
        let id = self.watched(account).await.unwrap().unwrap().row.id;
        self.give(id, ZONE).await.unwrap();
        self.run().await;
        self.vote(id, "one", Verdict::Approved).await.unwrap();
    }

    async fn publisher_says(&self, number: u32, entities: &[(&str, &str)]) {
        let entities = entities.iter().map(|(id, name)| person(id, name, &[])).collect();
        self.world.lists(&[&FakeList::new("un", number, entities)]);
        self.world.aml.monitor().await.unwrap();
    }
}

on_both!(an_approval_ends_when_monitoring_finds_more, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &watching(true)).await;
    let alice = office.account(1, "alice").await;
    office.world.aml.monitor().await.unwrap();
    office.approve(alice).await;
    assert!(office.clear(alice).await);
    // Others on the list are none of her business.
    office.publisher_says(2, &[("q", "Somebody Else"), ("r", "Robert Paulson")]).await;
    assert!(office.clear(alice).await);
    office.publisher_says(3, &[("q", "Somebody Else"), ("x", "Anna Maria Eriksson")]).await;
    assert!(!office.clear(alice).await);
    assert_eq!(office.proven(alice).await, Some(1), "without that rule it counts");
    // Who clears the hit gives the approval back to nobody: she is looked at again, with what is known now.
    let reference = alice.to_string();
    let hit = office.world.hit(&reference, "x").await;
    let (one, two) = (reviewer("ann"), reviewer("bobby"));
    let hit = office
        .world
        .resolve(&hit, portcullis_verification::State::FalsePositive, &one)
        .await
        .unwrap();
    office.world.approve(&hit, &two).await.unwrap();
    assert!(!office.clear(alice).await);
    office.approve(alice).await;
    assert!(office.clear(alice).await);
    // A hit that is found to be her after all.
    let hit = office.world.hit(&reference, "x").await;
    let matched = portcullis_verification::State::ConfirmedMatch;
    let hit = office.world.resolve(&hit, matched, &one).await.unwrap();
    if hit.state != matched.as_str() {
        office.world.approve(&hit, &two).await.unwrap();
    }
    assert!(!office.clear(alice).await);
});

on_both!(what_is_found_between_the_check_and_the_decision_counts, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &watching(true)).await;
    let alice = office.account(1, "alice").await;
    office.world.aml.monitor().await.unwrap();
    let id = office.watched(alice).await.unwrap().unwrap().row.id;
    office.give(id, ZONE).await.unwrap();
    office.run().await;
    office.publisher_says(2, &[("q", "Somebody Else"), ("x", "Anna Maria Eriksson")]).await;
    office.vote(id, "one", Verdict::Approved).await.unwrap();
    assert_eq!(office.proven(alice).await, Some(1));
    assert!(!office.clear(alice).await);
});

on_both!(an_approval_ends_when_nobody_looks_after_the_person_any_more, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &watching(true)).await;
    let (alice, bob) = (office.account(1, "alice").await, office.account(2, "bob").await);
    office.approve(alice).await;
    office.approve(bob).await;
    assert!(office.clear(alice).await && office.clear(bob).await);
    let aml = &office.world.aml;
    // Somebody else is screened under her name from now on.
    let reference = alice.to_string();
    office.world.screen(&crate::world::monitored("Robert Paulson", &reference)).await.unwrap();
    assert!(!office.clear(alice).await);
    assert!(office.clear(bob).await);
    // Back to her: what was approved then was not looked after meanwhile.
    office.world.screen(&crate::world::monitored("Anna Maria Eriksson", &reference)).await.unwrap();
    assert!(!office.clear(alice).await);
    // Nobody monitors him.
    let db = &office.world.db.db;
    let row = portcullis_store::aml::by_reference(db, "main", &bob.to_string()).await.unwrap();
    let id = row.unwrap().id;
    aml.stop_monitoring(id, &machine(), &Origin::default()).await.unwrap();
    assert!(!office.clear(bob).await);
    office.approve(bob).await;
    assert!(office.clear(bob).await);
    aml.remove(id, &machine(), &Origin::default()).await.unwrap();
    assert!(!office.clear(bob).await, "the subject is gone");
});

/// Another person's zone.
const OTHER_ZONE: &str =
    "P<UTOHACKER<<MALLORY<<<<<<<<<<<<<<<<<<<<<<<<\nX123456785UTO9001011F3501014<<<<<<<<<<<<<<06";

impl Office {
    async fn with_passkey(&self, account: Id<tags::User>, passkey: u128) -> Option<Open> {
        let owner = Owner { account, locale: None, passkey: Some(Id::from_bits(passkey)) };
        let needed = Needed { is_bound: true, ..needed(60, false) };
        let by = (&machine(), &Origin::default());
        self.sessions.for_owner(&owner, needed, by).await.unwrap()
    }

    /// The passkey that stands for the owner of an account.
    async fn bound(&self, account: Id<tags::User>) -> Option<String> {
        let db = &self.world.db.db;
        let row = proofs::of_account(db, "main", account, "owners").await.unwrap()?;
        row.passkey_id.filter(|_| row.is_proven)
    }

    async fn add_passkey(&self, account: Id<tags::User>, passkey: u128) -> String {
        let row = &portcullis_store::passkeys::Passkey {
            id: Id::from_bits(passkey),
            account_id: account,
            credential_id: passkey.to_be_bytes().to_vec(),
            name: "Phone".into(),
            credential: "{}".into(),
            attested: false,
            created_at: 0,
            last_used_at: None,
        };
        let added =
            self.world.db.db.write(|tx| async move {
                portcullis_store::passkeys::insert(&tx, "main", row).await
            });
        added.await.unwrap();
        row.id.to_string()
    }

    async fn decides(&self, id: Id<tags::IdvSession>, zone: &str, says: Verdict) {
        self.give(id, zone).await.unwrap();
        self.vote(id, "one", says).await.unwrap();
        self.world.clock.advance(Duration::from_secs(1));
    }
}

fn reviewed() -> Value {
    json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": { "zone": { "type": "check", "check": "mrz", "next": "human" },
                   "human": { "type": "review", "approvers": 1 } }
    })
}

on_both!(an_approval_stands_for_the_passkey_with_which_it_was_begun, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &reviewed()).await;
    let alice = office.account(1, "alice").await;
    let hers = office.add_passkey(alice, 7).await;
    let others = office.add_passkey(alice, 8).await;
    // Whoever logs in with another one does not go on with what she has begun.
    let own = office.with_passkey(alice, 7).await.unwrap().row.id;
    let thief = office.with_passkey(alice, 8).await.unwrap().row.id;
    assert_ne!(own, thief);
    assert_eq!(office.with_passkey(alice, 7).await.unwrap().row.id, own);
    office.decides(own, ZONE, Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    let told = office.recorded().into_iter().find(|one| one.change == "passkey_bound").unwrap();
    assert_eq!((told.reason.as_deref(), &told.session), (Some(&hers[..]), &own.to_string()));
    // A document of somebody else is a refusal, and one of them takes nothing away.
    office.decides(thief, OTHER_ZONE, Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    assert!(office.with_passkey(alice, 8).await.is_none(), "they have had their try");
    office.world.clock.advance(Duration::from_secs(60));
    let thief = office.with_passkey(alice, 8).await.unwrap().row.id;
    office.decides(thief, ZONE, Verdict::Declined).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    // So it is where they begin without a passkey, by another rule.
    office.world.clock.advance(Duration::from_secs(3_600));
    let thief = office.owner(alice).await.unwrap().unwrap().row.id;
    office.decides(thief, OTHER_ZONE, Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    // The same person can change it, and keeps it where a session says nothing of it.
    office.world.clock.advance(Duration::from_secs(3_600));
    let again = office.owner(alice).await.unwrap().unwrap().row.id;
    office.decides(again, ZONE, Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    let changed = office.with_passkey(alice, 8).await.unwrap().row.id;
    office.decides(changed, ZONE, Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&others[..]));
    // What somebody else decides about her counts, whatever she has.
    let theirs =
        office.begin(Begin { workflow: "owners".into(), account: Some(alice), ..Begin::default() });
    let theirs = theirs.await.unwrap().row.id;
    office.decides(theirs, ZONE, Verdict::Declined).await;
    assert_eq!((office.bound(alice).await, office.proven(alice).await), (None, None));
    // Also after that nobody else becomes the person.
    office.world.clock.advance(Duration::from_secs(3_600));
    let thief = office.with_passkey(alice, 8).await.unwrap().row.id;
    office.decides(thief, OTHER_ZONE, Verdict::Approved).await;
    assert_eq!(office.proven(alice).await, None);
});

on_both!(whoever_has_only_the_password_gets_into_no_session_of_a_passkey, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &reviewed()).await;
    let alice = office.account(1, "alice").await;
    office.add_passkey(alice, 7).await;
    // Neither the thief into hers, nor she into theirs, whichever rule asks.
    let theirs = office.with_passkey(alice, 8).await.unwrap().row.id;
    let plain = office.owner(alice).await.unwrap().unwrap().row.id;
    let hers = office.with_passkey(alice, 7).await.unwrap().row.id;
    assert!(theirs != plain && plain != hers && hers != theirs);
    assert_eq!(office.owner(alice).await.unwrap().unwrap().row.id, plain);
    // What others begin for her is for whoever is logged in, and binds nothing.
    let begun = Begin { workflow: "owners".into(), account: Some(alice), ..Begin::default() };
    office.world.clock.advance(Duration::from_secs(1));
    let begun = office.begin(begun).await.unwrap().row.id;
    assert_eq!(office.owner(alice).await.unwrap().unwrap().row.id, begun);
    assert_eq!(office.with_passkey(alice, 7).await.unwrap().row.id, hers);
    // Their failures keep her from nothing, nor does an approval that somebody had without any passkey.
    office.decides(plain, ZONE, Verdict::Approved).await;
    assert_eq!(office.with_passkey(alice, 7).await.unwrap().row.id, hers);
    office.decides(hers, ZONE, Verdict::Approved).await;
    // Whoever is logged in some other way is not led into what others have begun for her.
    let by = (&machine(), &Origin::default());
    let with = |passkey: Option<u128>| Owner {
        account: alice,
        locale: None,
        passkey: passkey.map(Id::from_bits),
    };
    let sessions = &office.sessions;
    let led = |owner: Owner| async move {
        sessions.for_owner(&owner, needed(60, false), by).await.unwrap().unwrap().row.id
    };
    assert_eq!(led(with(Some(7))).await, begun);
    assert_ne!(led(with(None)).await, begun);
    assert_ne!(led(with(Some(8))).await, begun);
    office.decides(theirs, OTHER_ZONE, Verdict::Approved).await;
    assert!(office.bound(alice).await.is_some());
    assert!(office.with_passkey(alice, 7).await.is_some());
    assert!(office.with_passkey(alice, 8).await.is_none());
});

on_both!(who_the_person_is_stays_known_in_every_workflow, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &reviewed()).await;
    office.publish("others", &reviewed()).await;
    office.publish("verifies", &verifying()).await;
    let (alice, bob) = (office.account(1, "alice").await, office.account(2, "bob").await);
    let hers = office.add_passkey(alice, 7).await;
    let own = office.with_passkey(alice, 7).await.unwrap().row.id;
    office.decides(own, OTHER_ZONE, Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    // A chip of somebody else tells nobody whose the account is, and takes nothing away.
    office.verify(alice, Some(true), Verdict::Approved).await;
    assert_eq!(office.bound(alice).await.as_deref(), Some(&hers[..]));
    let verified = office.recorded().into_iter().filter_map(|one| one.verified).next_back();
    assert_eq!(verified, Some("other_person"));
    assert!(office.sessions.identities(alice).await.unwrap().is_empty());
    // Nor does another workflow.
    let by = (&machine(), &Origin::default());
    let owner = Owner { account: alice, locale: None, passkey: Some(Id::from_bits(8)) };
    let needed = Needed { workflow: "others", is_bound: true, ..needed(60, false) };
    let other = office.sessions.for_owner(&owner, needed, by).await.unwrap().unwrap().row.id;
    office.decides(other, ZONE, Verdict::Approved).await;
    let db = &office.world.db.db;
    let row = proofs::of_account(db, "main", alice, "others").await.unwrap().unwrap();
    assert!(!row.is_proven);
    assert!(office.recorded().iter().any(|one| one.change == "other_person"));
    // A chip of the same person leaves it as it is.
    let his = office.add_passkey(bob, 9).await;
    let own = office.with_passkey(bob, 9).await.unwrap().row.id;
    office.decides(own, ZONE, Verdict::Approved).await;
    office.verify(bob, Some(true), Verdict::Approved).await;
    assert_eq!(office.bound(bob).await.as_deref(), Some(&his[..]));
    // It goes with the session that told it.
    office.sessions.erase(own, &machine(), &Origin::default()).await.unwrap();
    assert!(proofs::persons(db, "main", bob).await.unwrap().is_empty());
    assert_eq!(proofs::persons(db, "main", alice).await.unwrap().len(), 1);
});

on_both!(a_passkey_stands_for_nobody_who_is_not_known, |db: TestDb| {
    let office = Office::new(db).await;
    let graph = json!({
        "schema": "idv.workflow/1", "start": "human",
        "nodes": { "human": { "type": "review", "approvers": 1 } }
    });
    office.publish("owners", &graph).await;
    let alice = office.account(1, "alice").await;
    office.add_passkey(alice, 7).await;
    let own = office.with_passkey(alice, 7).await.unwrap().row.id;
    office.vote(own, "one", Verdict::Approved).await.unwrap();
    assert_eq!((office.proven(alice).await, office.bound(alice).await), (Some(1), None));
    assert!(office.with_passkey(alice, 7).await.is_none(), "once more would come to the same");
});

on_both!(a_workflow_screens_on_its_own_terms, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &watching(true)).await;
    let alice = office.account(1, "alice").await;
    // Somebody had her screened before, with nearly nothing.
    let narrow = portcullis_verification::Asked {
        terms: portcullis_verification::AskedTerms {
            topics: Some(vec!["nothing".into()]),
            threshold: Some(1.0),
            ..Default::default()
        },
        ..crate::world::asked("Nobody Known", Some(&alice.to_string()))
    };
    office.world.screen(&narrow).await.unwrap();
    office.world.aml.monitor().await.unwrap();
    office.approve(alice).await;
    assert!(office.clear(alice).await);
    office.publisher_says(2, &[("x", "Anna Maria Eriksson")]).await;
    assert!(!office.clear(alice).await);
});

on_both!(an_approval_without_monitoring_is_none_and_asks_nobody_again, |db: TestDb| {
    let office = Office::new(db).await;
    office.publish("owners", &watching(false)).await;
    let alice = office.account(1, "alice").await;
    office.approve(alice).await;
    assert_eq!(office.proven(alice).await, Some(1));
    assert!(!office.clear(alice).await);
    // She would go round and round.
    assert!(office.watched(alice).await.unwrap().is_none());
    assert!(office.owner(alice).await.unwrap().is_some(), "where that does not matter");
    // Whoever came to it keeps nobody waiting who is logged in some other way.
    let other = Owner { account: alice, locale: None, passkey: Some(Id::from_bits(7)) };
    let by = (&machine(), &Origin::default());
    let found = office.sessions.for_owner(&other, needed(60, true), by).await.unwrap();
    assert!(found.is_some());
});

on_both!(sessions_that_are_asked_for_at_once_are_told_apart, |db: TestDb| {
    let office = Office::new(db).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..90_usize {
        let sessions = office.sessions.clone();
        tasks.spawn(async move {
            // A third of them is the same request three times, a third asks for what is not there.
            let key = (number % 3 == 0).then(|| (format!("k{}", number / 9), vec![1]));
            let workflow = if number % 3 == 1 { "none" } else { "kyc" };
            let metadata = json!({ "number": number });
            let asked = Begin { workflow: workflow.into(), metadata, key, ..Begin::default() };
            (number, sessions.begin(asked, &machine(), &Origin::default()).await)
        });
    }
    let mut keyed = std::collections::BTreeMap::<usize, Vec<_>>::new();
    for (number, begun) in tasks.join_all().await {
        match number % 3 {
            0 => keyed.entry(number / 9).or_default().push(begun.unwrap()),
            1 => assert!(matches!(begun, Err(SessionError::Invalid("workflow", _)))),
            _ => {
                let open = begun.unwrap().open;
                assert_eq!(open.start.metadata["number"], number, "it is its own");
                office.is_whole(open.row.id).await;
            }
        }
    }
    assert_eq!(keyed.len(), 10);
    for same in keyed.values() {
        let ids: std::collections::BTreeSet<_> =
            same.iter().map(|begun| begun.open.row.id).collect();
        assert_eq!((same.len(), ids.len()), (3, 1));
        assert_eq!(same.iter().filter(|begun| !begun.is_repeated).count(), 1);
    }
    let began = office.recorded().iter().filter(|one| one.change == "began").count();
    assert_eq!(began, 30 + 10);
});

on_both!(one_request_that_no_database_takes_fails_nobody_else, |db: TestDb| {
    let office = Office::new(db).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64_usize {
        let sessions = office.sessions.clone();
        tasks.spawn(async move {
            // PostgreSQL knows no such letter; what is known of somebody is sealed, and may have it.
            let reference = (number % 4 == 0).then(|| "x\u{0}y".to_owned());
            let workflow = if number % 4 == 1 { "x\u{0}y" } else { "kyc" };
            let asked = Begin { workflow: workflow.into(), reference, ..Begin::default() };
            (number, sessions.begin(asked, &machine(), &Origin::default()).await)
        });
    }
    for (number, begun) in tasks.join_all().await {
        match number % 4 {
            0 | 1 => assert!(matches!(begun, Err(SessionError::Invalid(..)))),
            _ => office.is_whole(begun.unwrap().open.row.id).await,
        }
    }
});

on_both!(whoever_goes_away_takes_nobody_along, |db: TestDb| {
    let office = Office::new(db).await;
    for polls in 1..40 {
        let asked = |number: u32| Begin {
            workflow: "kyc".into(),
            metadata: json!({ "number": number }),
            ..Begin::default()
        };
        let (by, origin) = (machine(), Origin::default());
        let (one, two) = tokio::join!(
            killed(polls, office.sessions.begin(asked(1), &by, &origin)),
            office.sessions.begin(asked(2), &by, &origin),
        );
        let two = two.unwrap().open;
        assert_eq!(two.start.metadata["number"], 2);
        office.is_whole(two.row.id).await;
        if let Some(one) = one {
            assert_eq!(one.unwrap().open.start.metadata["number"], 1);
        }
    }
});

on_both!(a_session_can_have_less_time_than_its_workflow_gives, |db: TestDb| {
    let office = Office::new(db).await;
    let asked = |ttl: &str| Begin {
        workflow: "kyc".into(),
        ttl: Some(ttl.parse().unwrap()),
        ..Begin::default()
    };
    for wrong in ["PT59S", "PT61M", "P1D"] {
        let refused = office.begin(asked(wrong)).await;
        assert!(matches!(refused, Err(SessionError::Invalid("ttl", _))), "{wrong}");
    }
    let brief = office.begin(asked("PT2M")).await.unwrap().row.id;
    let usual = office.kyc().await.row.id;
    office.world.clock.advance(Duration::from_secs(121));
    office.run().await;
    assert_eq!((office.status(brief).await, office.status(usual).await), ("expired", "created"));
});
