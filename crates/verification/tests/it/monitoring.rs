use std::sync::Arc;

use portcullis_screening::Policy;
use portcullis_store::aml;
use portcullis_testkit::on_both;
use portcullis_types::Clock;
use portcullis_verification::{Asked, Lists, ScreeningList, Settings, State, Terms};

use crate::world::{Damaged, FakeList, World, asked, monitored, person, reviewer, set};

fn first() -> FakeList {
    FakeList::new("un", 1, vec![person("Q1", "Dilma Rousseff", &[])])
}

/// Somebody new, and somebody of whom more is known.
fn second() -> FakeList {
    let entities = vec![
        person("Q1", "Dilma Rousseff", &[("birthDate", "1947-12-14")]),
        person("Q2", "Muammar Gaddafi", &[]),
    ];
    FakeList::new("un", 2, entities).after(&first())
}

on_both!(a_new_version_concerns_only_those_it_is_about, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    for (name, reference) in
        [("Dilma Rousseff", "c1"), ("Moammar Gadhafi", "c2"), ("Ann Example", "c3")]
    {
        world.screen(&monitored(name, reference)).await.unwrap();
    }
    world.screen(&asked("Muammar Gaddafi", Some("c4"))).await.unwrap();
    world.aml.monitor().await.unwrap();
    let before = world.verdicts().len();
    assert_eq!(world.aml.monitor().await.unwrap(), 0);

    world.lists(&[&second()]);
    assert_eq!(world.aml.monitor().await.unwrap(), 2);
    let verdicts = &world.verdicts()[before..];
    assert_eq!(verdicts.len(), 2, "nobody else was concerned");
    assert!(verdicts.iter().all(|verdict| verdict.cause == "list_change"));
    assert!(verdicts.iter().all(|one| one.lists[0].version.ends_with('2') && one.hits == 1));
    let changes: Vec<_> = verdicts.iter().flat_map(|one| &one.changes).collect();
    let mut told: Vec<_> = changes.iter().map(|one| (one.change, one.entity.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [("changed", "Q1"), ("new", "Q2")]);
    assert_eq!(world.hit("c2", "Q2").await.state, "Unreviewed");
    assert!(world.hits("c4").await.is_empty(), "nobody asked to monitor this one");
    assert_eq!(world.aml.monitor().await.unwrap(), 0);
});

on_both!(whoever_leaves_a_list_is_no_hit_any_more, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    world.screen(&monitored("Dilma Rousseff", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    let gone = FakeList::new("un", 2, vec![person("Q9", "Other", &[])]).after(&first());
    world.lists(&[&gone]);
    assert_eq!(world.aml.monitor().await.unwrap(), 1);
    assert!(world.hit("c1", "Q1").await.gone_at.is_some());
    assert_eq!(world.verdicts().pop().unwrap().hits, 0);
});

on_both!(without_the_version_before_all_of_the_list_is_compared, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    world.screen(&monitored("Moammar Gadhafi", "c2")).await.unwrap();
    world.aml.monitor().await.unwrap();
    let unrelated = FakeList::new("un", 2, vec![person("Q2", "Muammar Gaddafi", &[])]);
    world.lists(&[&unrelated]);
    assert_eq!(world.aml.monitor().await.unwrap(), 1);
    assert_eq!(world.hits("c2").await.len(), 1);
});

on_both!(terms_hold_for_monitoring_as_well, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    let of = |reference: &str, terms: Terms| Asked {
        terms: terms.into(),
        ..monitored("Moammar Gadhafi", reference)
    };
    let topic = Terms { topics: vec!["role".into()], ..Terms::default() };
    world.screen(&of("topic", topic)).await.unwrap();
    let strict = Terms { threshold: Some(1.0), ..Terms::default() };
    world.screen(&of("threshold", strict)).await.unwrap();
    world.screen(&of("all", Terms::default())).await.unwrap();
    world.aml.monitor().await.unwrap();
    world.lists(&[&second()]);
    assert_eq!(world.aml.monitor().await.unwrap(), 1);
    assert_eq!(world.hits("all").await.len(), 1);
    assert!(world.hits("topic").await.is_empty() && world.hits("threshold").await.is_empty());
});

on_both!(a_run_that_was_cut_off_goes_on_where_it_was, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    world.screen(&monitored("Moammar Gadhafi", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    // Ids are in order of time.
    world.clock.advance(std::time::Duration::from_secs(1));
    world.screen(&monitored("Muammar Qaddafi", "c2")).await.unwrap();
    world.lists(&[&second()]);
    // As if it had stopped after the first subject.
    let done = aml::by_reference(&world.db.db, "main", "c1").await.unwrap().unwrap().id;
    let was = aml::progress(&world.db.db, "main").await.unwrap().remove(0);
    let digest = world.aml.lists().ready[0].version().used.digest.clone();
    let row = aml::ListRow {
        target_digest: digest,
        target_basis: was.basis.clone(),
        target_version: "20260601120002".into(),
        ..was
    };
    let (tenant, now, to) = ("main", portcullis_testkit::START, done.to_string());
    let (row, to) = (&row, &to);
    let begun = world.db.db.write(|tx| async move {
        aml::begin(&tx, tenant, row, now).await?;
        aml::step(&tx, tenant, row, to, now).await
    });
    assert!(begun.await.unwrap());
    assert_eq!(world.aml.monitor().await.unwrap(), 1);
    assert!(world.hits("c1").await.is_empty() && world.hits("c2").await.len() == 1);
});

on_both!(two_nodes_do_a_run_once, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    for number in 0..30 {
        world.screen(&monitored("Moammar Gadhafi", &format!("c{number}"))).await.unwrap();
    }
    world.aml.monitor().await.unwrap();
    let before = world.verdicts().len();
    let other = world.another_node();
    set(&other, &[&second()]);
    world.lists(&[&second()]);
    let (one, two) = tokio::join!(world.aml.monitor(), other.monitor());
    assert_eq!(one.unwrap() + two.unwrap(), 30);
    assert_eq!(world.verdicts().len() - before, 30);
});

on_both!(a_node_with_an_older_list_does_not_take_it_back, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&second()]);
    let newer = world.another_node();
    set(&newer, &[&second()]);
    newer.monitor().await.unwrap();

    // This one has not got the new version yet.
    world.lists(&[&first()]);
    assert_eq!(world.aml.monitor().await.unwrap(), 0);
    let late = world.screen(&monitored("Moammar Gadhafi", "c1")).await.unwrap();
    assert!(late.hits.is_empty() && late.subject.unwrap().recheck);
    assert_eq!(world.aml.monitor().await.unwrap(), 0, "it cannot do it");
    assert_eq!(newer.monitor().await.unwrap(), 1);
    assert_eq!(world.hits("c1").await.len(), 1);
    assert_eq!(world.verdicts().pop().unwrap().cause, "recheck");
    let row = aml::by_reference(&world.db.db, "main", "c1").await.unwrap().unwrap();
    assert!(!row.recheck);
});

on_both!(under_another_policy_everybody_is_compared_again, |db: TestDb| {
    let world = World::new(db);
    let names = vec![person("Q1", "Muammar Gaddafi", &[("birthDate", "1942-06-07")])];
    let list = FakeList::new("un", 1, names);
    world.lists(&[&list]);
    world.screen(&monitored("Ann Example", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    let before = world.hits("c1").await;

    // The same policy by name, with a lower threshold.
    let lower = Policy { threshold: 0.0, ..Policy::balanced() };
    let settings = Settings { policies: vec![lower], ..Settings::default() };
    let restarted = World::later(world.db, settings, std::time::Duration::from_secs(60));

    restarted.lists(&[&list]);
    restarted.aml.monitor().await.unwrap();
    let after = restarted.hits("c1").await;
    assert_eq!((before.len(), after.len()), (0, 1));
});

on_both!(who_was_cleared_is_looked_at_again_when_the_list_changes, |db: TestDb| {
    let settings = Settings { four_eyes: false, ..Settings::default() };
    let world = World::with(db, settings);
    world.lists(&[&first()]);
    world.screen(&monitored("Dilma Rousseff", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    let hit = world.hit("c1", "Q1").await;
    world.resolve(&hit, State::FalsePositive, &reviewer("ann")).await.unwrap();
    world.lists(&[&second()]);
    world.aml.monitor().await.unwrap();
    assert_eq!(world.hit("c1", "Q1").await.state, "Unreviewed");
});

on_both!(a_run_that_another_version_overtakes_loses_nobody, |db: TestDb| {
    let world = World::new(db);
    let both = |number| {
        let entities = vec![person("Q1", "Dilma Rousseff", &[]), person("Q2", "Other", &[])];
        FakeList::new("un", number, entities)
    };
    world.lists(&[&both(1)]);
    world.screen(&monitored("Dilma Rousseff", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    // The second version drops her, and the run stops after it has said so.
    let dropped = FakeList::new("un", 2, vec![person("Q2", "Other", &[])]).after(&both(1));
    world.lists(&[&dropped]);
    world.aml.monitor().await.unwrap();
    assert!(world.hit("c1", "Q1").await.gone_at.is_some());
    let (tenant, now) = ("main", portcullis_testkit::START);
    let was = aml::progress(&world.db.db, tenant).await.unwrap().remove(0);
    let row = &aml::ListRow {
        digest: both(1).version().used.digest.clone(),
        list_version: both(1).version().used.version.clone(),
        target_digest: was.digest.clone(),
        target_basis: was.basis.clone(),
        target_version: was.list_version.clone(),
        ..was
    };
    let begun: Result<(), portcullis_store::DbError> =
        world.db.db.write(|tx| async move { aml::begin(&tx, tenant, row, now).await }).await;
    begun.unwrap();
    // The third has her again, as she was in the first.
    world.lists(&[&both(3).after(&both(1))]);
    world.aml.monitor().await.unwrap();
    assert!(world.hit("c1", "Q1").await.gone_at.is_none());
});

on_both!(a_list_that_fails_does_not_keep_others_from_being_followed, |db: TestDb| {
    let world = World::new(db);
    let good = |number| FakeList::new("watch", number, second().entities());
    world.lists(&[&FakeList::new("aaa", 1, vec![person("X", "Y Z", &[])]), &first()]);
    world.screen(&monitored("Moammar Gadhafi", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    let broken: Arc<dyn ScreeningList> =
        Arc::new(Damaged(FakeList::new("aaa", 2, vec![person("X", "Y", &[])])));
    let ready = vec![broken, Arc::new(good(1)) as Arc<dyn ScreeningList>];
    world.aml.set_lists(Lists { ready, broken: Vec::new() });
    assert!(world.aml.monitor().await.is_err());
    assert_eq!(world.hits("c1").await.len(), 1);
});

on_both!(of_two_nodes_with_other_policies_the_younger_counts, |db: TestDb| {
    let world = World::new(db);
    world.lists(&[&first()]);
    world.screen(&monitored("Ann Example", "c1")).await.unwrap();
    world.aml.monitor().await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(60));
    let lower = Policy { threshold: 0.0, ..Policy::balanced() };
    let younger =
        world.another_node_with(Settings { policies: vec![lower], ..Settings::default() });
    set(&younger, &[&first()]);
    younger.monitor().await.unwrap();
    assert_eq!(world.hits("c1").await.len(), 1);
    // The older one leaves it at that.
    let before = world.verdicts().len();
    for _ in 0..3 {
        world.aml.monitor().await.unwrap();
        younger.monitor().await.unwrap();
    }
    assert_eq!(world.verdicts().len(), before);
    // Whom the older one screens, the younger one compares again.
    world.screen(&monitored("Bea Example", "c2")).await.unwrap();
    world.aml.monitor().await.unwrap();
    younger.monitor().await.unwrap();
    assert_eq!(world.hits("c2").await.len(), 1);
});

on_both!(many_hits_are_written_in_parts, |db: TestDb| {
    let world = World::new(db);
    let list = |number, count: usize| {
        let one = |at: usize| person(&format!("Q{at}"), "Dilma Rousseff", &[]);
        FakeList::new("un", number, (0..count).map(one).collect())
    };
    world.lists(&[&list(1, 1)]);
    for number in 0..5 {
        world.screen(&monitored("Dilma Rousseff", &format!("c{number}"))).await.unwrap();
    }
    world.aml.monitor().await.unwrap();
    world.lists(&[&list(2, 150).after(&list(1, 1))]);
    assert_eq!(world.aml.monitor().await.unwrap(), 5);
    for number in 0..5 {
        assert_eq!(world.hits(&format!("c{number}")).await.len(), 150);
    }
});

on_both!(a_list_that_was_retired_is_followed_again, |db: TestDb| {
    let world = World::new(db);
    let ready = |list: FakeList| Lists { ready: vec![Arc::new(list)], broken: Vec::new() };
    let other = FakeList::new("eu", 1, vec![person("E1", "Muammar Gaddafi", &[])]);
    let both = |one: FakeList| {
        let ready = vec![Arc::new(one) as Arc<dyn ScreeningList>, Arc::new(other.clone())];
        Lists { ready, broken: Vec::new() }
    };
    world.aml.take_over(both(first())).await.unwrap();
    let named = Asked {
        terms: Terms { lists: vec!["un".into()], ..Terms::default() }.into(),
        ..monitored("Moammar Gadhafi", "c1")
    };
    world.screen(&named).await.unwrap();
    world.aml.monitor().await.unwrap();
    let day = std::time::Duration::from_secs(86_400);
    world.clock.advance(day);
    let now = world.clock.now();
    assert!(world.aml.retire("un", now).await.unwrap());
    assert!(!world.aml.retire("un", now).await.unwrap());
    assert_eq!(world.aml.monitor().await.unwrap(), 0, "it is not used any more");
    // Whoever named it is compared with the others.
    world.aml.take_over(ready(other.clone())).await.unwrap();
    world.aml.monitor().await.unwrap();
    assert!(world.hits("c1").await.contains_key("E1"));

    world.clock.advance(day);
    world.aml.reinstate("un").await.unwrap();
    world.aml.take_over(both(second())).await.unwrap();
    assert_eq!(world.aml.monitor().await.unwrap(), 1);
    assert!(world.hits("c1").await.contains_key("Q2"));
    // What somebody said before that counts no longer.
    assert!(!world.aml.retire("un", now).await.unwrap());
    let codes = world.db.recorded.codes();
    let lists = codes.iter().filter(|code| code.starts_with("admin_aml_list"));
    assert_eq!(lists.collect::<Vec<_>>(), ["admin_aml_list_retire", "admin_aml_list_reinstate"]);
});
