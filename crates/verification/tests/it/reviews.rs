use std::time::Duration;

use portcullis_events::{Kind, Origin};
use portcullis_store::aml::HitFilter;
use portcullis_testkit::{TestDb, on_both};
use portcullis_types::{Clock, Timestamp};
use portcullis_verification::{ALLOW_MAX, AmlError, AskedTerms, Resolution, Settings, State};

use crate::world::{FakeList, World, asked, monitored, person, reviewer};

const DAY: Duration = Duration::from_secs(86_400);

fn list(number: u32, birth: &str) -> FakeList {
    FakeList::new("un", number, vec![person("Q1", "Dilma Rousseff", &[("birthDate", birth)])])
}

async fn world(db: TestDb, settings: Settings) -> World {
    let world = World::with(db, settings);
    world.lists(&[&list(1, "1947-12-14")]);
    world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    world
}

on_both!(clearing_somebody_takes_two_persons, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let (ann, bobby) = (reviewer("ann"), reviewer("bobby"));
    let hit = world.hit("c1", "Q1").await;
    let proposed = world.resolve(&hit, State::FalsePositive, &ann).await.unwrap();
    assert_eq!(proposed.state, "Unreviewed");
    assert_eq!(proposed.proposed_state, "False Positive");
    assert!(world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap().is_match());

    assert!(matches!(world.approve(&proposed, &ann).await, Err(AmlError::FourEyes)));
    assert!(matches!(world.approve(&hit, &bobby).await, Err(AmlError::Stale)));
    let cleared = world.approve(&proposed, &bobby).await.unwrap();
    assert_eq!((cleared.state.as_str(), cleared.proposed_state.as_str()), ("False Positive", ""));
    assert_eq!(cleared.decided_by, format!("{} {}", ann.account, bobby.account));
    let note = world.aml.open_note(&cleared, &cleared.note).unwrap();
    assert_eq!(note, "looked at the passport");
    assert!(!world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap().is_match());

    // Back again is on the safe side, and one person is enough.
    let open = world.resolve(&cleared, State::Unreviewed, &ann).await.unwrap();
    assert_eq!(open.state, "Unreviewed");
    assert!(matches!(world.approve(&open, &bobby).await, Err(AmlError::Invalid("state", _))));
    let actions: Vec<_> = world
        .db
        .recorded
        .codes()
        .into_iter()
        .filter_map(|code| code.strip_prefix("admin_aml_hit_").map(str::to_owned))
        .collect();
    assert_eq!(actions, ["propose", "approve", "resolve"]);
    for event in world.db.recorded.events() {
        if let Kind::Admin(change) = &event.kind {
            let told = format!("{:?} {:?}", change.before, change.after);
            assert!(!told.contains("passport") && !told.contains("Rousseff"), "{told}");
        }
    }
});

on_both!(a_confirmed_match_is_not_taken_back_by_one_person, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let (ann, bobby) = (reviewer("ann"), reviewer("bobby"));
    let hit = world.hit("c1", "Q1").await;
    let confirmed = world.resolve(&hit, State::ConfirmedMatch, &ann).await.unwrap();
    assert_eq!(confirmed.state, "Confirmed Match");
    for state in [State::Unreviewed, State::Inconclusive, State::FalsePositive] {
        let hit = world.hit("c1", "Q1").await;
        let proposed = world.resolve(&hit, state, &ann).await.unwrap();
        assert_eq!(proposed.state, "Confirmed Match");
        let origin = Origin::default();
        world.aml.decline(proposed.id, proposed.version, &bobby, &origin).await.unwrap();
    }
    // Whoever proposes in the place of somebody else is who proposed.
    let hit = world.hit("c1", "Q1").await;
    let by_ann = world.resolve(&hit, State::Inconclusive, &ann).await.unwrap();
    let by_bobby = world.resolve(&by_ann, State::FalsePositive, &bobby).await.unwrap();
    assert!(matches!(world.approve(&by_bobby, &bobby).await, Err(AmlError::FourEyes)));
    // Confirming it again drops what was proposed.
    let kept = world.resolve(&by_bobby, State::ConfirmedMatch, &ann).await.unwrap();
    assert_eq!((kept.state.as_str(), kept.proposed_state.as_str()), ("Confirmed Match", ""));
});

on_both!(a_confirmed_match_does_not_vanish_by_other_words, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let hit = world.hit("c1", "Q1").await;
    world.resolve(&hit, State::ConfirmedMatch, &reviewer("ann")).await.unwrap();
    let other = world.screen(&asked("Somebody Else", Some("c1"))).await.unwrap();
    assert!(other.is_match() && other.hits.is_empty());
    assert_eq!(other.standing[0].entity_id, "Q1");
    let (id, by) = (other.subject.unwrap().id, crate::world::machine());
    let erased = world.aml.remove(id, &by, &Origin::default()).await;
    assert!(matches!(erased, Err(AmlError::OpenHits)));
    // Neither does a new version, unless it is known that the entity has left the list.
    let again = monitored("Somebody Else", "c1");
    assert!(world.screen(&again).await.unwrap().is_match());
    world.aml.monitor().await.unwrap();
    let unknown = FakeList::new("un", 2, vec![person("Q1", "Dilma Vana Rousseff", &[])]);
    world.lists(&[&unknown]);
    world.aml.monitor().await.unwrap();
    assert!(world.screen(&again).await.unwrap().is_match());
    let gone = FakeList::new("un", 3, vec![person("Q9", "Another", &[])]).after(&unknown);
    world.lists(&[&gone]);
    world.aml.monitor().await.unwrap();
    assert!(!world.screen(&again).await.unwrap().is_match());
    world.aml.remove(id, &by, &Origin::default()).await.unwrap();
});

on_both!(one_person_is_enough_where_that_is_wanted, |db: TestDb| {
    let settings = Settings { four_eyes: false, ..Settings::default() };
    let world = world(db, settings).await;
    let hit = world.hit("c1", "Q1").await;
    let cleared = world.resolve(&hit, State::FalsePositive, &reviewer("ann")).await.unwrap();
    assert_eq!(cleared.state, "False Positive");
});

on_both!(what_was_cleared_comes_back_when_the_list_says_more, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let (ann, bobby) = (reviewer("ann"), reviewer("bobby"));
    let proposed =
        world.resolve(&world.hit("c1", "Q1").await, State::FalsePositive, &ann).await.unwrap();
    world.approve(&proposed, &bobby).await.unwrap();
    world.lists(&[&list(2, "1947-12-14")]);
    assert!(!world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap().is_match());
    world.lists(&[&list(3, "1948")]);
    let screened = world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert!(screened.is_match());
    let hit = world.hit("c1", "Q1").await;
    assert_eq!((hit.state.as_str(), hit.decided_by.as_str()), ("Unreviewed", ""));

    // What somebody proposed before was about something else.
    let proposed = world.resolve(&hit, State::FalsePositive, &ann).await.unwrap();
    world.lists(&[&list(4, "1949")]);
    world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert!(matches!(world.approve(&proposed, &bobby).await, Err(AmlError::Stale)));
    let hit = world.hit("c1", "Q1").await;
    assert!(matches!(world.approve(&hit, &bobby).await, Err(AmlError::Invalid("state", _))));
});

on_both!(whoever_is_on_the_allow_list_stays_cleared_until_it_ends, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let (ann, bobby) = (reviewer("ann"), reviewer("bobby"));
    let allow = |version, until| Resolution {
        version,
        state: State::FalsePositive,
        note: "another person, see the file".into(),
        allow_until: Some(until),
    };
    let hit = world.hit("c1", "Q1").await;
    let (origin, now) = (Origin::default(), world.clock.now());
    for until in [now, now.minus(DAY), now.plus(ALLOW_MAX).plus(DAY)] {
        let refused = world.aml.resolve(hit.id, &allow(hit.version, until), &ann, &origin).await;
        assert!(matches!(refused, Err(AmlError::Invalid("allow_until", _))));
    }
    let until = now.plus(DAY * 30);
    let proposed = world.aml.resolve(hit.id, &allow(hit.version, until), &ann, &origin).await;
    let allowed = world.approve(&proposed.unwrap(), &bobby).await.unwrap();
    assert_eq!(allowed.allowed_until, Some(until.micros()));
    let filter = HitFilter { allowed_at: Some(now), ..HitFilter::default() };
    let on_it = async |filter: &HitFilter<'_>| {
        portcullis_store::aml::hits(&world.db.db, "main", filter, "", 10).await.unwrap().len()
    };
    assert_eq!(on_it(&filter).await, 1);

    world.lists(&[&list(2, "1950")]);
    assert!(!world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap().is_match());
    assert_eq!(world.aml.end_allowances().await.unwrap(), 0);
    world.clock.advance(DAY * 30);
    // It is over when it is over, whenever somebody gets around to note that.
    assert!(world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap().is_match());
    assert_eq!(world.aml.end_allowances().await.unwrap(), 1);
    let hit = world.hit("c1", "Q1").await;
    assert_eq!((hit.state.as_str(), hit.allowed_until), ("Unreviewed", None));
    assert!(world.db.recorded.codes().contains(&"admin_aml_hit_expire".to_owned()));

    // Nobody can approve an allowance whose time is over.
    let soon = world.clock.now().plus(DAY);
    let proposed =
        world.aml.resolve(hit.id, &allow(hit.version, soon), &ann, &origin).await.unwrap();
    world.clock.advance(DAY * 2);
    let late = world.approve(&proposed, &bobby).await;
    assert!(matches!(late, Err(AmlError::Invalid("allow_until", _))));
});

on_both!(decisions_need_a_reason_and_a_hit_that_is_one, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let (ann, origin) = (reviewer("ann"), Origin::default());
    let hit = world.hit("c1", "Q1").await;
    let with = |state, note: &str, allow_until: Option<Timestamp>| Resolution {
        version: hit.version,
        state,
        note: note.into(),
        allow_until,
    };
    let long = "x".repeat(4_001);
    for note in ["", "  ", "a\u{7}", long.as_str()] {
        let refused = with(State::Inconclusive, note, None);
        let refused = world.aml.resolve(hit.id, &refused, &ann, &origin).await;
        assert!(matches!(refused, Err(AmlError::Invalid("note", _))));
    }
    let misplaced = with(State::ConfirmedMatch, "yes", Some(world.clock.now().plus(DAY)));
    let misplaced = world.aml.resolve(hit.id, &misplaced, &ann, &origin).await;
    assert!(matches!(misplaced, Err(AmlError::Invalid("allow_until", _))));

    world.screen(&asked("Somebody Else", Some("c1"))).await.unwrap();
    let gone = world.hit("c1", "Q1").await;
    let refused = world.resolve(&gone, State::Inconclusive, &ann).await;
    assert!(matches!(refused, Err(AmlError::Invalid("state", _))));
    // It comes back as it was, to be looked at again.
    world.screen(&asked("Dilma Rousseff", Some("c1"))).await.unwrap();
    assert_eq!(world.hit("c1", "Q1").await.gone_at, None);
    assert!("unreviewed".parse::<State>().is_err());
});

on_both!(an_allowance_is_for_the_subject_as_it_was, |db: TestDb| {
    let world = world(db, Settings::default()).await;
    let (ann, bobby) = (reviewer("ann"), reviewer("bobby"));
    let allow = async || {
        let hit = world.hit("c1", "Q1").await;
        let resolution = Resolution {
            version: hit.version,
            state: State::FalsePositive,
            note: "another person".into(),
            allow_until: Some(world.clock.now().plus(DAY)),
        };
        let origin = Origin::default();
        let proposed = world.aml.resolve(hit.id, &resolution, &ann, &origin).await.unwrap();
        world.approve(&proposed, &bobby).await.unwrap();
    };
    let mut other = asked("Dilma Rousseff", Some("c1"));
    // Found, left out by other terms, and not looked at.
    let all =
        AskedTerms { lists: Some(Vec::new()), topics: Some(Vec::new()), ..AskedTerms::default() };
    let crime = AskedTerms { topics: Some(vec!["crime".into()]), ..all.clone() };
    for (year, terms) in [("1947", all.clone()), ("1947-12-14", crime.clone()), ("1948", crime)] {
        allow().await;
        other.subject.add("birthDate", year);
        other.terms = terms;
        assert!(world.screen(&other).await.unwrap().is_match(), "{year}");
        other.terms = all.clone();
        assert!(world.screen(&other).await.unwrap().is_match(), "{year}, again");
        let hit = world.hit("c1", "Q1").await;
        assert_eq!((hit.state.as_str(), hit.allowed_until), ("Unreviewed", None));
    }
});

on_both!(nothing_that_says_the_same_undoes_a_decision, |db: TestDb| {
    let world = World::with(db, Settings::default());
    let entity = |names: [&str; 2]| {
        let mut listed = person("Q1", names[0], &[]);
        listed.entity.add("name", names[1]);
        listed
    };
    let names = ["Dilma Rousseff", "Dilma Vana Rousseff"];
    world.lists(&[&FakeList::new("un", 1, vec![entity(names)])]);
    let mut known = asked("Dilma Rousseff", Some("c1"));
    known.subject.add("alias", "Dilma");
    known.subject.add("alias", "Vana");
    world.screen(&known).await.unwrap();
    let (ann, bobby) = (reviewer("ann"), reviewer("bobby"));
    let hit = world.hit("c1", "Q1").await;
    let proposed = world.resolve(&hit, State::FalsePositive, &ann).await.unwrap();
    world.approve(&proposed, &bobby).await.unwrap();
    let cleared = world.hit("c1", "Q1").await;
    // Values in another order, a property that nothing looks at, and other policies by turns.
    world.lists(&[&FakeList::new("un", 2, vec![entity([names[1], names[0]])])]);
    let mut again = asked("Dilma Rousseff", Some("c1"));
    ["Vana", "Dilma"].iter().for_each(|alias| again.subject.add("alias", alias));
    again.subject.add("notes", "something");
    for policy in ["balanced", "strict", "balanced", "strict"] {
        again.terms.policy = Some(policy.into());
        assert!(!world.screen(&again).await.unwrap().is_match(), "{policy}");
    }
    assert_eq!(world.hit("c1", "Q1").await, cleared);
});
