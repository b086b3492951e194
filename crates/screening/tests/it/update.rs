//! An index of what is new finds what an index of all finds.

use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
};

use portcullis_screening::{
    Entity, Policy, Schema,
    index::{Builders, Index, IndexBuilder, Place, Search},
};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::index::LISTED;

/// The entities of a version with where their texts are.
fn placed(version: &[Entity]) -> impl Iterator<Item = (&Entity, Place)> {
    let mut offset = 0;
    version.iter().map(move |entity| {
        let text = format!("{entity:?}");
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let length = u32::try_from(text.len()).unwrap();
        let place = Place { offset, length, check: hasher.finish() };
        offset += u64::from(length);
        (entity, place)
    })
}

fn whole(version: &[Entity]) -> Vec<u8> {
    let mut builder = IndexBuilder::with_common(3);
    placed(version).for_each(|(entity, place)| builder.add(entity, place));
    let mut file = Vec::new();
    builder.write([1; 32], &mut file).unwrap();
    file
}

/// What is new since an index, unless that is too much.
fn new_since(before: Index, version: &[Entity]) -> Option<Vec<u8>> {
    let mut update = before.into_update();
    let mut new = IndexBuilder::with_common(3);
    for (entity, place) in placed(version) {
        if !update.keep(place) {
            new.add(entity, place);
        }
    }
    let mut file = Vec::new();
    let made = update.write(new, [2; 32], &mut file).unwrap();
    assert_eq!(made, !file.is_empty());
    made.then_some(file)
}

/// What may happen to a list until its next version.
fn next_version(before: &[Entity], rng: &mut TestRng) -> Vec<Entity> {
    let mut version = before.to_vec();
    for _ in 0..before.len() / 40 {
        let mut place = || usize::try_from(rng.next_u32()).unwrap() % version.len();
        let (at, other) = (place(), place());
        match rng.next_u32() % 5 {
            0 => drop(version.remove(at)),
            1 => version[at].add("alias", "Ivan Nowhere"),
            2 => version.insert(at, version[other].clone()),
            3 => version.swap(at, other),
            _ => {
                let mut new = Entity::new(Schema::Person);
                new.add("name", &format!("{} Petrov", version[other].get("name").concat()));
                version.insert(at, new);
            }
        }
    }
    version
}

fn found(index: &Index, listed: &[Entity], sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
    let load = |entity: u32| Ok::<_, Infallible>(Some(listed[entity as usize].clone()));
    let found = index.search(sought, search, load).unwrap();
    found.iter().map(|found| (found.entity, found.verdict.score)).collect()
}

#[test]
fn an_updated_index_finds_what_a_whole_one_finds() {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let policy = Policy::balanced();
    let base = whole(&LISTED);
    let (mut version, mut before) = (LISTED.to_vec(), Index::open(base.clone()).unwrap());
    for round in 0..3 {
        version = next_version(&version, &mut rng);
        // What is new is told from the whole index, also by one that was itself updated.
        let update = new_since(before, &version).unwrap();
        let updated = Index::open_updated(base.clone(), update).unwrap();
        let all = Index::open(whole(&version)).unwrap();
        assert_eq!(updated.len(), version.len());
        for number in 0..u32::try_from(version.len()).unwrap() + 2 {
            assert_eq!(updated.place(number), all.place(number), "{number}");
        }
        let sought = LISTED.iter().step_by(41).chain(version.iter().skip(round).step_by(37));
        for (at, sought) in sought.enumerate() {
            let (cutoff, limit) = [(0.7, usize::MAX), (0.5, 3), (0.4, usize::MAX)][at % 3];
            let search = Search { policy: &policy, cutoff, limit };
            let expected = found(&all, &version, sought, search);
            assert_eq!(found(&updated, &version, sought, search), expected, "{sought:?}");
        }
        before = updated;
    }
    // Two thirds gone, all new, and all in another order.
    assert!(new_since(Index::open(base.clone()).unwrap(), &LISTED[..LISTED.len() / 3]).is_none());
    assert!(new_since(before, &next_version(&version, &mut rng)[..1]).is_none());
    let backwards: Vec<Entity> = LISTED.iter().rev().cloned().collect();
    assert!(new_since(Index::open(base).unwrap(), &backwards).is_none());
}

#[test]
fn several_threads_make_the_index_that_one_makes() {
    let many: Vec<Entity> = LISTED.iter().cycle().take(3_000).cloned().collect();
    let mut one = IndexBuilder::new();
    placed(&many).for_each(|(entity, place)| one.add(entity, place));
    let mut expected = Vec::new();
    one.write([1; 32], &mut expected).unwrap();
    for threads in [0, 1, 3] {
        let mut builders = Builders::new(threads);
        for (entity, place) in placed(&many) {
            builders.add(entity.clone(), place).unwrap();
        }
        let mut file = Vec::new();
        builders.finish().write([1; 32], &mut file).unwrap();
        assert!(file == expected, "{threads}");
    }
}
