use std::sync::Arc;

use portcullis_store::aml;
use portcullis_testkit::on_both;
use portcullis_types::Clock;
use portcullis_verification::{AmlError, Asked, ListError, Lists, Settings, State, Terms};

use crate::world::{Damaged, FakeList, World, asked, monitored, person, subject};

fn gaddafi() -> FakeList {
    let topic = [("topics", "sanction"), ("birthDate", "1942")];
    let pep = [("topics", "role.pep")];
    FakeList::new(
        "un",
        1,
        vec![
            person("Q1", "Muammar Gaddafi", &topic),
            person("Q2", "Saif al-Islam Gaddafi", &pep),
            person("Q3", "Dilma Rousseff", &pep),
        ],
    )
}

on_both!(a_verdict_is_recorded_with_what_it_depends_on, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let screened = world.screen(&asked("Moammar Gadhafi", None)).await.unwrap();
    assert_eq!(screened.hits[0].entity_id, "Q1");
    assert!(screened.is_match() && screened.subject.is_none());
    let verdict = world.verdicts().pop().unwrap();
    assert_eq!((verdict.cause, verdict.hits), ("request", screened.hits.len()));
    assert_eq!(verdict.lists, screened.used.lists);
    assert_eq!(verdict.policy_hash, screened.used.policy_hash);
    assert_eq!((verdict.policy_hash.len(), verdict.digest.len()), (64, 64));
    assert_eq!(verdict.changes[0].entity, "Q1");
    assert_eq!(verdict.digest, world.aml.subject_digest(&subject("Moammar Gadhafi")));

    let nobody = world.screen(&asked("Wolfgang Schmidbauer", None)).await.unwrap();
    assert!(!nobody.is_match());
    assert_eq!(world.verdicts().pop().unwrap().hits, 0);
    let kept = aml::page(&world.db.db, "main", false, "", 10).await.unwrap();
    assert!(kept.is_empty(), "without a reference nothing is kept");
});

on_both!(what_is_not_recorded_is_not_answered, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    world.db.recorded.refuse(true);
    let refused = world.screen(&asked("Dilma Rousseff", None)).await;
    assert!(matches!(refused, Err(AmlError::NotRecorded)));
    assert!(world.screen(&asked("Dilma Rousseff", Some("c1"))).await.is_err());
});

on_both!(nobody_is_cleared_against_lists_that_are_not_there, |db: TestDb| {
    let world = World::new(db);
    let screened = world.screen(&asked("Dilma Rousseff", None)).await;
    assert!(matches!(screened, Err(AmlError::NoLists)));

    let broken = vec![("eu".to_owned(), ListError("cut off".into()))];
    world.aml.set_lists(Lists { ready: vec![Arc::new(gaddafi())], broken });
    let screened = world.screen(&asked("Dilma Rousseff", None)).await;
    assert!(matches!(screened, Err(AmlError::List(name, _)) if name == "eu"));
    let only = |list: &str| Asked {
        terms: Terms { lists: vec![list.into()], ..Terms::default() }.into(),
        ..asked("Dilma Rousseff", None)
    };
    assert!(world.screen(&only("un")).await.unwrap().is_match());
    assert!(matches!(world.screen(&only("eu")).await, Err(AmlError::List(..))));
    assert!(matches!(world.screen(&only("uk")).await, Err(AmlError::Invalid("lists", _))));

    world.aml.set_lists(Lists { ready: vec![Arc::new(Damaged(gaddafi()))], broken: vec![] });
    assert!(matches!(world.screen(&only("un")).await, Err(AmlError::List(..))));
    assert_eq!(world.verdicts().len(), 1, "only a verdict is one");
});

on_both!(terms_choose_topics_policies_and_thresholds, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let with = |terms: Terms| Asked { terms: terms.into(), ..asked("Gaddafi", None) };
    let found = async |terms: Terms| {
        let screened = world.screen(&with(terms)).await.unwrap();
        screened.hits.into_iter().map(|hit| hit.entity_id).collect::<Vec<_>>()
    };
    let low = Terms { threshold: Some(0.3), ..Terms::default() };
    assert_eq!(found(low.clone()).await.len(), 2);
    let pep = Terms { topics: vec!["role".into()], ..low.clone() };
    assert_eq!(found(pep).await, ["Q2"]);
    let high = Terms { threshold: Some(1.0), ..Terms::default() };
    assert!(found(high).await.is_empty());
    let wrong = [
        (Terms { threshold: Some(1.1), ..Terms::default() }, "threshold"),
        (Terms { threshold: Some(0.2), ..Terms::default() }, "threshold"),
        (Terms { threshold: Some(f64::NAN), ..Terms::default() }, "threshold"),
        (Terms { policy: Some("lax".into()), ..Terms::default() }, "policy"),
        (Terms { topics: vec![String::new()], ..Terms::default() }, "topics"),
        (Terms { lists: vec!["un".into(); 101], ..Terms::default() }, "lists"),
    ];
    for (terms, field) in wrong {
        let refused = world.screen(&with(terms)).await.unwrap_err();
        assert!(matches!(refused, AmlError::Invalid(told, _) if told == field), "{refused}");
    }
    let strict = Terms { policy: Some("strict".into()), ..Terms::default() };
    let balanced = world.screen(&with(Terms::default())).await.unwrap().used.policy_hash;
    assert_ne!(world.screen(&with(strict)).await.unwrap().used.policy_hash, balanced);
});

on_both!(a_reference_makes_a_subject_that_is_kept_and_sealed, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let first = world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    let row = first.subject.unwrap();
    let (known, _) = world.aml.open_subject(&row).unwrap();
    assert_eq!(known, subject("Dilma Rousseff"));
    let sealed = String::from_utf8_lossy(&row.sealed).into_owned();
    assert!(!sealed.contains("Rousseff"));
    let hit = world.hit("c1", "Q3").await;
    assert_eq!((hit.state.as_str(), hit.score), ("Unreviewed", 10_000.min(hit.score)));
    let why = world.aml.open_reasons(&hit).unwrap();
    assert!(why["text"].as_str().unwrap().contains("Rousseff"));

    // The same again is the same subject, and writes nothing to the hit.
    let again = world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert_eq!(again.subject.unwrap().id, row.id);
    assert_eq!(world.hit("c1", "Q3").await, hit);
    assert_eq!(world.verdicts().pop().unwrap().hits, 1);
    assert!(world.verdicts().pop().unwrap().changes.is_empty());

    // Another name under the same reference: what was a hit is none any more.
    let other = world.screen(&asked("Muammar Gaddafi", Some("c1"))).await.unwrap();
    assert_eq!(other.subject.unwrap().id, row.id);
    assert!(world.hit("c1", "Q3").await.gone_at.is_some());
    assert!(world.hit("c1", "Q1").await.gone_at.is_none());
    let changes: Vec<_> =
        world.verdicts().pop().unwrap().changes.into_iter().map(|one| one.change).collect();
    assert!(changes.contains(&"new") && changes.contains(&"gone"), "{changes:?}");

    // What is sealed for one subject cannot be put in the place of another.
    let mut forged = row.clone();
    forged.id = world.screen(&asked("X Y", Some("c2"))).await.unwrap().subject.unwrap().id;
    assert!(matches!(world.aml.open_subject(&forged), Err(AmlError::Sealed)));
});

on_both!(a_subject_that_is_erased_is_gone_with_its_hits, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let kept = world.screen(&monitored("Dilma Rousseff", "c1")).await.unwrap();
    let id = kept.subject.unwrap().id;
    let (by, origin) = (crate::world::machine(), Default::default());
    let refused = world.aml.remove(id, &by, &origin).await;
    assert!(matches!(refused, Err(AmlError::OpenHits)));
    world.screen(&asked("Ann Example", Some("c1"))).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(86_400));
    world.aml.stop_monitoring(id, &by, &origin).await.unwrap();
    let row = aml::by_id(&world.db.db, "main", id).await.unwrap().unwrap();
    assert_eq!(row.screened_at, world.clock.now(), "it was compared with everything until now");
    let again = world.aml.stop_monitoring(id, &by, &origin).await;
    assert!(matches!(again, Err(AmlError::NotFound)));
    world.aml.remove(id, &by, &origin).await.unwrap();
    assert!(matches!(world.aml.remove(id, &by, &origin).await, Err(AmlError::NotFound)));
    let left = aml::of_subject(&world.db.db, "main", id).await.unwrap();
    assert!(left.is_empty());
    let codes = world.db.recorded.codes();
    assert!(
        codes.ends_with(&["admin_aml_subject_update".into(), "admin_aml_subject_delete".into()])
    );
});

on_both!(what_cannot_be_asked_for_is_refused, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let long = "x".repeat(129);
    for reference in ["", "a\nb", long.as_str()] {
        let refused = world.screen(&asked("Dilma", Some(reference))).await;
        assert!(matches!(refused, Err(AmlError::Invalid("reference", _))));
    }
    let unnamed = Asked { monitor: Some(true), ..asked("Dilma", None) };
    assert!(matches!(world.screen(&unnamed).await, Err(AmlError::Invalid("reference", _))));
    let mut empty = asked("Dilma", None);
    empty.subject.properties.clear();
    assert!(matches!(world.screen(&empty).await, Err(AmlError::Invalid("subject", _))));
});

on_both!(the_same_reference_at_once_makes_one_subject, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let asked = asked("Dilma Rousseff", Some("c1"));
    let (a, b, c, d) = tokio::join!(
        world.screen(&asked),
        world.screen(&asked),
        world.screen(&asked),
        world.screen(&asked),
    );
    let ids: std::collections::HashSet<String> = [a, b, c, d]
        .into_iter()
        .filter_map(Result::ok)
        .map(|one| one.subject.unwrap().id.to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.hits("c1").await.len(), 1);
});

on_both!(policies_in_use_must_be_known, |db: TestDb| {
    let own = portcullis_screening::Policy {
        name: "own".into(),
        ..portcullis_screening::Policy::balanced()
    };
    let mut settings = Settings::default();
    settings.policies.push(own);
    let world = World::with(db, settings);
    world.lists(&[&gaddafi()]);
    let terms = Terms { policy: Some("own".into()), ..Terms::default() };
    let asked = Asked { terms: terms.into(), ..asked("Dilma Rousseff", Some("c1")) };
    world.screen(&asked).await.unwrap();
    assert!(world.aml.unknown_policies().await.unwrap().is_empty());
    assert_eq!(world.another_node().unknown_policies().await.unwrap(), ["own"]);
    assert_eq!(State::FalsePositive.as_str(), "False Positive");
});

on_both!(other_terms_clear_nobody, |db: TestDb| {
    let world = World::new(db);
    let other = FakeList::new("eu", 1, vec![person("E1", "Dilma Rousseff", &[])]);
    world.lists(&[&gaddafi(), &other]);
    let with = |terms: Terms| Asked { terms: terms.into(), ..asked("Dilma Rousseff", Some("c1")) };
    let first =
        world.screen(&with(Terms { threshold: Some(0.5), ..Terms::default() })).await.unwrap();
    assert_eq!(first.hits.len(), 2);
    let narrow = [
        Terms { threshold: Some(1.0), ..Terms::default() },
        Terms { lists: vec!["eu".into()], ..Terms::default() },
        Terms { topics: vec!["crime".into()], ..Terms::default() },
    ];
    for terms in narrow {
        let mut narrowed = with(terms);
        // Asked twice, and with something else known that changes nothing.
        for notes in ["", "", "something else", ""] {
            narrowed.subject.add("notes", notes);
            let again = world.screen(&narrowed).await.unwrap();
            assert!(again.is_match(), "{:?}", narrowed.terms);
            assert_eq!(again.hits.len() + again.standing.len(), 2);
            assert_eq!(world.verdicts().pop().unwrap().hits, 2);
        }
    }
    assert!(world.hits("c1").await.values().all(|hit| hit.gone_at.is_none()));
});

on_both!(terms_that_are_left_out_stay, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let terms = Terms { policy: Some("strict".into()), threshold: Some(0.4), ..Terms::default() };
    let first = Asked { terms: terms.clone().into(), ..asked("Dilma Rousseff", Some("c1")) };
    world.screen(&first).await.unwrap();
    let again = world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert_eq!(world.aml.open_subject(&again.subject.unwrap()).unwrap().1, terms);
});

on_both!(more_hits_than_are_told_make_none_of_them_go, |db: TestDb| {
    let world = World::new(db);
    let list = |number, count: usize| {
        let one = |at: usize| person(&format!("Q{at}"), "Dilma Rousseff", &[]);
        FakeList::new("un", number, (0..count).rev().map(one).collect())
    };
    world.lists(&[&list(1, 3)]);
    world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    world.lists(&[&list(2, 503)]);
    let again = world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert_eq!((again.hits.len(), again.standing.len()), (500, 3));
    assert!(world.hits("c1").await.values().all(|hit| hit.gone_at.is_none()));
});

on_both!(a_subject_of_a_thousand_names_is_refused, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let mut many = asked("Dilma Rousseff", None);
    (0..20).for_each(|number| many.subject.add("alias", &format!("Name {number}")));
    assert!(matches!(world.screen(&many).await, Err(AmlError::Invalid("subject", _))));
});

on_both!(hits_end_on_lists_that_are_not_asked_for_any_more, |db: TestDb| {
    let world = World::new(db);
    let other = FakeList::new("eu", 1, vec![person("E1", "Dilma Rousseff", &[])]);
    world.lists(&[&gaddafi(), &other]);
    world.screen(&monitored("Dilma Rousseff", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    let only = Terms { lists: vec!["un".into()], ..Terms::default() };
    let narrowed = Asked { terms: only.into(), ..asked("Dilma Rousseff", Some("c1")) };
    assert_eq!(world.screen(&narrowed).await.unwrap().standing.len(), 1);
    let left = FakeList::new("eu", 2, vec![person("E9", "Another", &[])]).after(&other);
    world.lists(&[&gaddafi(), &left]);
    world.aml.monitor().await.unwrap();
    assert!(world.hit("c1", "E1").await.gone_at.is_some());
    // A list that was named once and is not there any more does not stop anything.
    world.lists(&[&left]);
    let again = world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert_eq!(again.used.lists[0].name, "eu");
});

on_both!(a_verdict_tells_what_was_left_out, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&gaddafi()]);
    let mut filtered = asked("Dilma Rousseff", None);
    filtered.terms.topics = Some(vec!["role".into()]);
    filtered.shown.not_entities = vec!["Q3".into()];
    assert!(world.screen(&filtered).await.unwrap().hits.is_empty());
    let verdict = world.verdicts().pop().unwrap();
    assert_eq!(verdict.topics, ["role"]);
    assert!(verdict.filter.unwrap().contains("Q3"));
});
