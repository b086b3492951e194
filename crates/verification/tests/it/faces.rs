//! Faces in sessions, by models whose answers follow by hand: a face is where a bright red square is, two are as near
//! as their colours, and whoever is bluer than green was there.

use std::{sync::Arc, time::Duration};

use portcullis_capture::Photo;
use portcullis_documents::chip::Files;
use portcullis_events::{Kind, Origin};
use portcullis_store::idv::{
    faces::{self, NewFace, Whose},
    pictures,
};
use portcullis_testkit::{SeededEntropy, TestDb, on_both};
use portcullis_types::{Clock, Id, Timestamp, tags};
use portcullis_verification::{
    Answer, Begin, Consent, EmrtdAsked, Models, Open, SessionError, Sessions,
};
use portcullis_workflow::{CheckStatus, Value as Told};
use serde_json::{Value, json};

use crate::{
    sessions::{no_way_out, node_with},
    world::{World, machine, reviewer},
};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../biometrics/tests/models");

type Rgb = [u8; 3];
const BLUE: Rgb = [60, 60, 240];
const GREEN: Rgb = [60, 230, 60];
const NIGHT: Rgb = [20, 80, 200];
const GOLD: Rgb = [240, 220, 10];

/// A picture of 640 pixels with faces of 224, each with a colour on its left and its right.
fn picture(faces: &[((u32, u32), Rgb, Rgb)]) -> Vec<u8> {
    let mut rgb = Vec::new();
    for y in 0..640u32 {
        for x in 0..640u32 {
            let (x, y) = (x / 2, y / 2);
            let shade = if (x / 4 + y / 4) % 2 == 0 { 30 } else { 150 };
            let mut pixel = [shade; 3];
            for ((column, row), left, right) in faces {
                let (nose_x, nose_y) = (column * 8 + 4, row * 8 + 4);
                if (x + 56).wrapping_sub(nose_x) < 112 && (y + 72).wrapping_sub(nose_y) < 112 {
                    pixel = if x < nose_x { *left } else { *right };
                }
                if (x / 8, y / 8) == (*column, *row) {
                    pixel = [255, 0, 0];
                }
            }
            rgb.extend(pixel);
        }
    }
    Photo::from_rgb(640, 640, rgb).unwrap().to_jpeg().unwrap()
}

fn selfie(left: Rgb, right: Rgb) -> Vec<u8> {
    picture(&[((17, 20), left, right)])
}

fn graph(face: &Value, from: &str) -> Value {
    let mut search = json!({ "type": "check", "check": "face_search", "next": "end" });
    search.as_object_mut().unwrap().extend(face.as_object().unwrap().clone());
    json!({
        "schema": "idv.workflow/1",
        "start": "photo",
        "nodes": {
            "photo": { "type": "check", "check": "image", "next": "me" },
            "me": { "type": "check", "check": "selfie", "next": "there" },
            "there": { "type": "check", "check": "liveness", "next": "same" },
            "same": { "type": "check", "check": "face_match", "from": from, "next": "others",
                      "on_unsupported": { "set": "review" } },
            "others": search,
            "end": { "type": "decide", "rule": "fold" }
        }
    })
}

struct Booth {
    world: World,
    sessions: Sessions,
    other: Sessions,
}

impl Booth {
    async fn new(db: TestDb, graphs: &[(&str, Value)]) -> Self {
        Self::with(db, Some(Models::load(MODELS.as_ref()).unwrap()), graphs).await
    }

    async fn with(db: TestDb, models: Option<Models>, graphs: &[(&str, Value)]) -> Self {
        let world = World::new(db);
        let models = models.map(Arc::new);
        let node = |seed| node_with(&world, (&world.aml, models.clone()), seed, no_way_out());
        let (sessions, other) = (node(60), node(61));
        for (name, graph) in graphs {
            let (by, origin) = (machine(), Origin::default());
            let made = sessions.create_workflow(name, graph, &by, &origin).await.unwrap();
            sessions.publish(made.id, 1, "first", (&by, &origin)).await.unwrap();
        }
        Self { world, sessions, other }
    }

    async fn begin(&self, workflow: &str, reference: &str) -> Id<tags::IdvSession> {
        let asked = Begin {
            workflow: workflow.into(),
            reference: (!reference.is_empty()).then(|| reference.to_owned()),
            ..Begin::default()
        };
        let begun = self.sessions.begin(asked, &machine(), &Origin::default()).await.unwrap();
        begun.open.row.id
    }

    async fn give(&self, id: Id<tags::IdvSession>, node: &str, answer: Answer) -> Open {
        let by = (&machine(), &Origin::default());
        self.sessions.answer((id, node, None), answer, by).await.unwrap().open
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    async fn run(&self) {
        while self.sessions.run_due().await.unwrap() > 0 {}
    }

    /// Goes through a workflow with a picture of a document and one of the person.
    async fn go(&self, workflow: &str, reference: &str, document: Vec<u8>, me: Vec<u8>) -> Open {
        let id = self.begin(workflow, reference).await;
        self.give(id, "photo", Answer::Picture(document)).await;
        self.give(id, "me", Answer::Selfie(me, Consent::ByCaller)).await;
        self.run().await;
        self.sessions.read(id).await.unwrap()
    }
}

fn codes(open: &Open, node: &str) -> Vec<String> {
    let report = open.state.done[node].report.as_ref();
    report.map_or_else(Vec::new, |one| one.reasons.iter().map(|why| why.code.clone()).collect())
}

fn number(open: &Open, node: &str, field: &str) -> f64 {
    match open.state.done[node].values.get(field) {
        Some(Told::Number(number)) => *number,
        _ => f64::NAN,
    }
}

fn status(open: &Open) -> &'static str {
    open.state.status.as_str()
}

const NOTHING: fn() -> Value = || json!({});

on_both!(the_same_face_passes_and_another_does_not, |db: TestDb| {
    let booth = Booth::new(db, &[("kyc", graph(&NOTHING(), "photo"))]).await;
    let same = booth.go("kyc", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    assert_eq!(status(&same), "approved", "{:?}", same.state.done);
    assert!(number(&same, "same", "score") > 0.99 && number(&same, "there", "score") > 0.9);
    let report = same.state.done["same"].report.as_ref().unwrap();
    assert_eq!(report.assurance.as_str(), "biometric");
    let other = booth.go("kyc", "", selfie(GOLD, GOLD), selfie(BLUE, NIGHT)).await;
    assert_eq!((status(&other), codes(&other, "same")), ("declined", vec!["face_differs".into()]));
    let copied = booth.go("kyc", "", selfie(GREEN, GREEN), selfie(GREEN, GREEN)).await;
    assert_eq!((status(&copied), codes(&copied, "there")), ("declined", vec!["not_live".into()]));
    // A document without a face is for a person to look at.
    let faceless = booth.go("kyc", "", picture(&[]), selfie(BLUE, NIGHT)).await;
    assert_eq!(status(&faceless), "in_review");
    assert_eq!(codes(&faceless, "same"), ["portrait_unusable"]);
    let recorded = booth.world.db.recorded.events();
    let checks: Vec<_> = recorded
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Check(check) => Some((check.check, check.status)),
            _ => None,
        })
        .collect();
    assert!(checks.contains(&("face_match", "failed")) && checks.contains(&("selfie", "passed")));
    assert_eq!(checks.iter().filter(|(check, _)| *check == "face_search").count(), 4);
});

on_both!(a_picture_that_shows_nobody_is_taken_again, |db: TestDb| {
    let booth = Booth::new(db, &[("kyc", graph(&NOTHING(), "photo"))]).await;
    let id = booth.begin("kyc", "").await;
    booth.give(id, "photo", Answer::Picture(selfie(BLUE, NIGHT))).await;
    let two = picture(&[((9, 12), BLUE, NIGHT), ((28, 26), GOLD, GOLD)]);
    for (wrong, code) in [
        (picture(&[]), "face_not_found"),
        (two, "several_faces"),
        (b"GIF89a".to_vec(), "picture_unusable"),
    ] {
        let id = booth.begin("kyc", "").await;
        booth.give(id, "photo", Answer::Picture(selfie(BLUE, NIGHT))).await;
        let open = booth.give(id, "me", Answer::Selfie(wrong, Consent::ByCaller)).await;
        assert_eq!(open.asked(), ["me"], "{code}");
        let found: Vec<_> = open.steps().flat_map(|step| step.found.to_vec()).collect();
        assert_eq!(found[0].code, code);
        let open =
            booth.give(id, "me", Answer::Selfie(selfie(BLUE, NIGHT), Consent::ByCaller)).await;
        assert!(open.asked().is_empty());
        booth.run().await;
        assert_eq!(status(&booth.sessions.read(id).await.unwrap()), "approved");
    }
    // After the last try nobody looks at what was not taken.
    for _ in 0..3 {
        booth.give(id, "me", Answer::Selfie(picture(&[]), Consent::ByCaller)).await;
    }
    booth.run().await;
    let open = booth.sessions.read(id).await.unwrap();
    assert_eq!(open.state.done["me"].status, CheckStatus::Failed);
    assert_eq!(open.state.done["there"].status, CheckStatus::NotPerformed);
    assert_eq!(status(&open), "declined");
});

on_both!(pictures_are_sealed_shown_for_a_while_and_gone, |db: TestDb| {
    let booth = Booth::new(db, &[("kyc", graph(&NOTHING(), "photo"))]).await;
    let (sessions, by) = (&booth.sessions, (&machine(), &Origin::default()));
    let open = booth.go("kyc", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    let id = open.row.id;
    let kept = sessions.pictures(id).await.unwrap();
    let kinds: Vec<_> = kept.iter().map(|one| (&one.node[..], &one.kind[..])).collect();
    assert_eq!(kinds, [("me", "selfie"), ("photo", "document")]);
    let shown = sessions.picture(id, "me", by).await.unwrap();
    assert!(Photo::decode(&shown).is_ok());
    let rows = pictures::all(&booth.world.db.db, "main", id, booth.now()).await.unwrap();
    assert!(rows.iter().all(|row| !row.sealed.windows(4).any(|part| part == b"JFIF")));
    let recorded = booth.world.db.recorded.events();
    let looked = recorded.iter().any(|event| match &event.kind {
        Kind::Verification(told) => {
            told.change == "picture_shown" && told.node.as_deref() == Some("me")
        }
        _ => false,
    });
    assert!(looked, "who looks is in the log");
    let none = sessions.picture(id, "there", by).await;
    assert!(matches!(none, Err(SessionError::NotFound)));
    booth.world.clock.advance(Duration::from_secs(72 * 3_600));
    assert!(sessions.pictures(id).await.unwrap().is_empty());
    assert!(matches!(sessions.picture(id, "me", by).await, Err(SessionError::NotFound)));
    // What is erased is gone at once.
    let open = booth.go("kyc", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    sessions.erase(open.row.id, &machine(), &Origin::default()).await.unwrap();
    assert!(sessions.pictures(open.row.id).await.unwrap().is_empty());
    let gone = sessions.picture(open.row.id, "me", by).await;
    assert!(matches!(gone, Err(SessionError::Erased)));
});

on_both!(a_document_is_kept_only_where_its_face_is_looked_at, |db: TestDb| {
    let mut alone = graph(&NOTHING(), "photo");
    alone["nodes"]["there"]["next"] = json!("others");
    alone["nodes"].as_object_mut().unwrap().remove("same");
    let booth = Booth::new(db, &[("alone", alone)]).await;
    let open = booth.go("alone", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    let kept = booth.sessions.pictures(open.row.id).await.unwrap();
    assert_eq!(kept.iter().map(|one| &one.node[..]).collect::<Vec<_>>(), ["me"]);
});

on_both!(somebody_who_looks_like_another_is_found_until_they_are_erased, |db: TestDb| {
    let keep = json!({ "keep": "P30D" });
    let booth = Booth::new(db, &[("kyc", graph(&keep, "photo"))]).await;
    let me = || selfie(BLUE, NIGHT);
    let first = booth.go("kyc", "anna", me(), me()).await;
    assert_eq!((status(&first), number(&first, "others", "people")), ("approved", 0.0));
    let again = booth.go("kyc", "anna", me(), me()).await;
    assert_eq!((status(&again), number(&again, "others", "people")), ("approved", 0.0));
    let other = booth.go("kyc", "bert", me(), me()).await;
    assert_eq!((status(&other), number(&other, "others", "people")), ("in_review", 1.0));
    assert_eq!(codes(&other, "others"), ["face_known"]);
    // Of two that go on beside each other the later one sees the other.
    let beside = booth.go("kyc", "frida", me(), me()).await;
    assert_eq!(number(&beside, "others", "people"), 2.0);
    booth.sessions.erase(beside.row.id, &machine(), &Origin::default()).await.unwrap();
    // Of a picture of a picture nobody knows whose face that was.
    let copied = booth.go("kyc", "dora", selfie(GREEN, GREEN), selfie(GREEN, GREEN)).await;
    assert_eq!(status(&copied), "declined");
    let after = booth.go("kyc", "emil", selfie(GREEN, GREEN), selfie(GREEN, GREEN)).await;
    assert_eq!(number(&after, "others", "people"), 0.0);
    let stranger = booth.go("kyc", "carl", selfie(BLUE, [255; 3]), selfie(BLUE, [255; 3])).await;
    assert_eq!(number(&stranger, "others", "people"), 0.0, "{:?}", stranger.state.done["others"]);
    let by = (&machine(), &Origin::default());
    let found = booth.other.search_faces(me(), 10, by).await.unwrap().found;
    assert_eq!(found.len(), 3, "the other node finds them as well");
    assert!(found.iter().all(|one| one.score > 0.99));
    for open in [&first, &other] {
        booth.sessions.erase(open.row.id, &machine(), &Origin::default()).await.unwrap();
    }
    for node in [&booth.other, &booth.sessions] {
        let found = node.search_faces(me(), 10, by).await.unwrap().found;
        let left: Vec<_> = found.iter().map(|one| one.row.session_id.clone().unwrap()).collect();
        assert_eq!(left, [again.row.id.to_string()], "at once, and on every node");
    }
    booth.world.clock.advance(Duration::from_secs(30 * 24 * 3_600));
    assert!(booth.other.search_faces(me(), 10, by).await.unwrap().found.is_empty());
});

on_both!(faces_on_lists_are_blocked, |db: TestDb| {
    let of = |lists: &[&str]| graph(&json!({ "lists": lists }), "photo");
    let graphs = [("all", of(&[])), ("banned", of(&["banned"])), ("gone", of(&["nowhere"]))];
    let booth = Booth::new(db, &graphs).await;
    let (sessions, by) = (&booth.sessions, (&machine(), &Origin::default()));
    let banned = sessions.create_list(("banned", "block", ""), by).await.unwrap();
    let known = sessions.create_list(("known", "custom", ""), by).await.unwrap();
    let me = || selfie(BLUE, NIGHT);
    let entry = sessions.list_face(banned.id, (me(), "hired a double"), None, by).await.unwrap();
    sessions.list_face(known.id, (me(), ""), None, by).await.unwrap();
    assert_eq!(sessions.list(banned.id).await.unwrap().size, 1);
    let listed = sessions.entries(banned.id, "", 10).await.unwrap();
    assert_eq!((&listed[0].row.kind[..], &listed[0].note[..]), ("face", "hired a double"));
    let open = booth.go("all", "", me(), me()).await;
    assert_eq!(
        (status(&open), codes(&open, "others")),
        ("declined", vec!["face_blocked".into(), "face_listed".into()])
    );
    let lists = Told::Texts(vec!["banned".into(), "known".into()]);
    assert_eq!(open.state.done["others"].values["lists"], lists);
    let open = booth.go("gone", "", me(), me()).await;
    assert_eq!(open.state.done["others"].status, CheckStatus::Error);
    sessions.remove_entry(banned.id, entry, by).await.unwrap();
    let open = booth.go("banned", "", me(), me()).await;
    assert_eq!((status(&open), number(&open, "others", "score")), ("approved", 0.0));
    for (wrong, field) in [(picture(&[]), "image"), (b"x".to_vec(), "image")] {
        let refused = sessions.list_face(banned.id, (wrong, ""), None, by).await;
        assert!(matches!(refused, Err(SessionError::Invalid(name, _)) if name == field));
    }
    let late = sessions.list_face(banned.id, (me(), ""), Some(booth.now()), by).await;
    assert!(matches!(late, Err(SessionError::Invalid("expires_at", _))));
    let nowhere = Id::new(booth.now(), &*SeededEntropy::new(1));
    assert!(matches!(
        sessions.list_face(nowhere, (me(), ""), None, by).await,
        Err(SessionError::NotFound)
    ));
});

on_both!(nobody_is_known_again_whom_no_chip_proves, |db: TestDb| {
    let step_up = json!({
        "schema": "idv.workflow/1",
        "start": "me",
        "nodes": {
            "me": { "type": "check", "check": "selfie", "next": "same" },
            "same": { "type": "check", "check": "face_match", "from": "enrolled", "next": "end",
                      "on_unsupported": { "set": "failed" } },
            "end": { "type": "decide", "rule": "fold" }
        }
    });
    let keep = json!({ "keep": "P30D" });
    let booth = Booth::new(db, &[("kyc", graph(&keep, "photo")), ("again", step_up)]).await;
    let me = || selfie(BLUE, NIGHT);
    assert_eq!(status(&booth.go("kyc", "anna", me(), me()).await), "approved");
    let id = booth.begin("again", "anna").await;
    booth.give(id, "me", Answer::Selfie(me(), Consent::ByCaller)).await;
    booth.run().await;
    // A picture of a document is no proof that the document is theirs, or is one.
    assert_eq!(status(&booth.sessions.read(id).await.unwrap()), "declined");
});

on_both!(what_was_found_wanting_is_not_compared, |db: TestDb| {
    let mut lax = graph(&NOTHING(), "photo");
    lax["nodes"]["me"]["on_unsupported"] = json!({ "set": "not_performed" });
    let booth = Booth::new(db, &[("lax", lax)]).await;
    let id = booth.begin("lax", "").await;
    booth.give(id, "photo", Answer::Picture(selfie(BLUE, NIGHT))).await;
    let two = picture(&[((9, 12), BLUE, NIGHT), ((28, 26), GOLD, GOLD)]);
    booth.give(id, "me", Answer::Selfie(two, Consent::ByCaller)).await;
    booth.give(id, "me", Answer::Unsupported("no_camera".into())).await;
    booth.run().await;
    let open = booth.sessions.read(id).await.unwrap();
    for node in ["there", "same", "others"] {
        let done = &open.state.done[node];
        assert_eq!(
            (done.report.is_some(), done.why.as_deref()),
            (false, Some("no_selfie")),
            "{node}"
        );
    }
    let kept = booth.sessions.pictures(id).await.unwrap();
    assert_eq!(kept.iter().map(|one| &one.node[..]).collect::<Vec<_>>(), ["photo"]);
});

on_both!(a_document_that_is_given_again_has_its_own_face, |db: TestDb| {
    let booth = Booth::new(db, &[("kyc", graph(&NOTHING(), "photo"))]).await;
    let other = booth.go("kyc", "", picture(&[]), selfie(BLUE, NIGHT)).await;
    assert_eq!(status(&other), "in_review");
    let (id, version) = (other.row.id, other.row.version);
    let again = (version, ["photo".to_owned()].into(), "OTHER_SIDE".to_owned());
    let (by, origin) = (reviewer("olga"), Origin::default());
    booth.sessions.resubmit(id, again, &by, &origin).await.unwrap();
    booth.give(id, "photo", Answer::Unsupported("damaged".into())).await;
    booth.run().await;
    let open = booth.sessions.read(id).await.unwrap();
    assert_eq!(open.state.done["same"].why.as_deref(), Some("no_portrait"));
    let kept = booth.sessions.pictures(id).await.unwrap();
    assert_eq!(kept.iter().map(|one| &one.node[..]).collect::<Vec<_>>(), ["me"]);
});

on_both!(after_another_model_faces_of_lists_have_to_be_given_again, |db: TestDb| {
    let graphs = [("kyc", graph(&NOTHING(), "photo"))];
    let booth = Booth::new(db, &graphs).await;
    let by = (&machine(), &Origin::default());
    let banned = booth.sessions.create_list(("banned", "block", ""), by).await.unwrap();
    let gold = selfie(GOLD, GOLD);
    let entry = booth.sessions.list_face(banned.id, (gold, ""), None, by).await.unwrap();
    let clean = booth.go("kyc", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    assert_eq!(status(&clean), "approved");
    // One that another model made.
    let older = NewFace {
        id: Id::new(booth.now(), &*SeededEntropy::new(9)),
        whose: Whose::Entry(banned.id, entry),
        model: "older",
        sealed: &[1, 2, 3],
        expires_at: None,
    };
    let (older, now) = (&older, booth.now());
    let db = &booth.world.db.db;
    db.write(|tx| async move { faces::put(&tx, "main", older, now).await }).await.unwrap();
    let open = booth.go("kyc", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    assert_eq!(status(&open), "in_review");
    assert_eq!(codes(&open, "others"), ["listed_faces_uncompared"]);
});

on_both!(whoever_is_gone_leaves_memory_as_well, |db: TestDb| {
    let booth = Booth::new(db, &[("kyc", graph(&json!({ "keep": "P30D" }), "photo"))]).await;
    let (me, by) = (|| selfie(BLUE, NIGHT), (&machine(), &Origin::default()));
    let open = booth.go("kyc", "anna", me(), me()).await;
    let stays = booth.go("kyc", "anna", selfie(BLUE, [255; 3]), selfie(BLUE, [255; 3])).await;
    booth.other.search_faces(me(), 10, by).await.unwrap();
    booth.sessions.erase(open.row.id, &machine(), &Origin::default()).await.unwrap();
    for node in [&booth.sessions, &booth.other] {
        node.sweep_faces().await.unwrap();
        let found = node.search_faces(selfie(BLUE, [255; 3]), 10, by).await.unwrap().found;
        let found: Vec<_> = found.iter().map(|one| one.row.session_id.clone().unwrap()).collect();
        assert_eq!(found, [stays.row.id.to_string()]);
    }
});

on_both!(without_models_nothing_is_claimed, |db: TestDb| {
    let booth = Booth::with(db, None, &[("kyc", graph(&NOTHING(), "photo"))]).await;
    let open = booth.go("kyc", "", selfie(BLUE, NIGHT), selfie(BLUE, NIGHT)).await;
    for node in ["me", "there", "same", "others"] {
        assert_eq!(open.state.done[node].status, CheckStatus::NotPerformed, "{node}");
        assert!(!codes(&open, node).iter().any(|code| code != "no_model"), "{node}");
    }
    // What was not done is for people, who can see the pictures.
    assert_eq!(status(&open), "in_review");
    assert_eq!(booth.sessions.pictures(open.row.id).await.unwrap().len(), 2);
    let by = (&machine(), &Origin::default());
    let list = booth.sessions.create_list(("banned", "block", ""), by).await.unwrap();
    let refused = booth.sessions.list_face(list.id, (selfie(BLUE, NIGHT), ""), None, by).await;
    assert!(matches!(refused, Err(SessionError::Invalid("image", _))));
});

/// A data group 2 as chips have it.
fn group(image: &[u8]) -> Vec<u8> {
    fn wrapped(tag: &[u8], value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        [tag, &[0x84], &length, value].concat()
    }
    let length = u32::try_from(32 + image.len()).unwrap().to_be_bytes();
    let face = [&length[..], &[0; 28], image].concat();
    let record = [b"FAC\x00010\x00", &[0; 4][..], &[0, 1], &face].concat();
    let template =
        wrapped(&[0x7f, 0x60], &[wrapped(&[0xa1], &[]), wrapped(&[0x5f, 0x2e], &record)].concat());
    wrapped(&[0x75], &wrapped(&[0x7f, 0x61], &[vec![2, 1, 1], template].concat()))
}

on_both!(the_face_of_a_forged_chip_is_not_kept, |db: TestDb| {
    let chip = json!({
        "schema": "idv.workflow/1",
        "start": "chip",
        "nodes": {
            "chip": { "type": "check", "check": "emrtd", "next": "me" },
            "me": { "type": "check", "check": "selfie", "next": "same" },
            "same": { "type": "check", "check": "face_match", "from": "chip", "next": "end" },
            "end": { "type": "decide", "rule": "fold" }
        }
    });
    let booth = Booth::new(db, &[("chip", chip)]).await;
    let id = booth.begin("chip", "").await;
    let file = group(&selfie(BLUE, NIGHT));
    assert_eq!(portcullis_documents::portrait(&file).unwrap(), selfie(BLUE, NIGHT));
    let groups = [(2, file)].into();
    let asked = EmrtdAsked { files: Files { sod: vec![1, 2, 3], groups }, ..EmrtdAsked::default() };
    booth.give(id, "chip", Answer::Chip(asked)).await;
    booth.give(id, "me", Answer::Selfie(selfie(BLUE, NIGHT), Consent::ByCaller)).await;
    booth.run().await;
    let open = booth.sessions.read(id).await.unwrap();
    assert_eq!(open.state.done["chip"].status, CheckStatus::Failed);
    assert_eq!(open.state.done["same"].status, CheckStatus::NotPerformed);
    assert_eq!(booth.sessions.pictures(id).await.unwrap().len(), 1);
});
