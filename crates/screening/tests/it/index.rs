//! An index finds whom a comparison with everybody finds.

use std::{convert::Infallible, sync::LazyLock};

use portcullis_screening::{
    Entity, Policy, Profile, Schema,
    import::Format,
    index::{Index, IndexBuilder, IndexError, Place, Search},
    score,
};

use crate::lists::{list, ofac, read_text};

/// Some of the lists of OFAC and the UN, so that everybody can be compared with everybody.
static LISTED: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let (un, _) = read_text(Format::UnXml, &list("un_consolidated.xml"), false).unwrap();
    let some = |every: usize, from: Vec<portcullis_screening::import::Listed>| {
        from.into_iter().step_by(every).map(|listed| listed.entity)
    };
    some(4, un).chain(some(16, ofac())).collect()
});

static INDEX: LazyLock<Index> = LazyLock::new(|| Index::open(built(&LISTED)).unwrap());

fn built(entities: &[Entity]) -> Vec<u8> {
    let mut builder = IndexBuilder::new();
    entities.iter().for_each(|entity| builder.add(entity, Place::default()));
    let mut file = Vec::new();
    builder.write([7; 32], &mut file).unwrap();
    file
}

fn found(sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
    let load = |entity: u32| Ok::<_, Infallible>(LISTED[entity as usize].clone());
    let found = INDEX.search(sought, search, load).unwrap();
    found.iter().map(|found| (found.entity, found.verdict.score)).collect()
}

/// Everybody that a comparison with everybody finds.
fn compared(sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
    let verdict = |listed: &Entity| {
        score(
            &Profile::beside(sought, listed.schema),
            &Profile::beside(listed, sought.schema),
            search.policy,
        )
    };
    let mut all: Vec<(u32, f64)> = (0..)
        .zip(LISTED.iter())
        .map(|(entity, listed)| (entity, verdict(listed)))
        .filter(|(_, verdict)| verdict.schemas_fit && verdict.score >= search.cutoff)
        .map(|(entity, verdict)| (entity, verdict.score))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// What people make of a name.
fn variations(name: &str, at: usize) -> String {
    let words: Vec<&str> = name.split(' ').collect();
    let letters: Vec<char> = name.chars().collect();
    let without = |place: usize| -> String {
        letters
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != place)
            .map(|(_, letter)| *letter)
            .collect()
    };
    match at % 8 {
        0 => name.to_owned(),
        1 => words.iter().rev().copied().collect::<Vec<_>>().join(" "),
        2 => without(at % letters.len().max(1)),
        3 => words.join(""),
        4 => words[..words.len().min(2)].join(" "),
        5 => name.replace(['y', 'Y'], "i").replace("kh", "h").replace("ou", "u"),
        6 => name.replace('-', "").replace(" al ", " ").replace('z', "d"),
        _ => words.iter().filter_map(|word| word.chars().next()).collect(),
    }
}

fn compare_with_all(every: usize, policy: &Policy, cutoff: f64) {
    let search = Search { policy, cutoff, limit: usize::MAX };
    for (at, entity) in LISTED.iter().enumerate().step_by(every) {
        let mut sought = Entity::new(if at % 5 == 0 { Schema::LegalEntity } else { entity.schema });
        let names: Vec<&str> =
            entity.all(&["name", "alias", "weakAlias"]).map(|(_, name)| name).collect();
        let Some(name) = names.get(at / every % names.len().max(1)) else { continue };
        sought.add("name", &variations(name, at / every));
        if at % 3 == 0 {
            for property in ["birthDate", "country", "nationality", "gender", "passportNumber"] {
                entity.get(property).iter().for_each(|value| sought.add(property, value));
            }
        }
        assert_eq!(found(&sought, search), compared(&sought, search), "{sought:?}");
    }
}

#[test]
fn nobody_is_left_out_under_the_balanced_policy() {
    compare_with_all(16, &Policy::balanced(), 0.70);
}

#[test]
fn nobody_is_left_out_under_the_strict_policy() {
    compare_with_all(27, &Policy::strict(), 0.50);
}

#[test]
fn nobody_is_left_out_however_low_the_least_score() {
    compare_with_all(150, &Policy::balanced(), 0.30);
    compare_with_all(400, &Policy::balanced(), 0.0);
}

#[test]
fn the_best_come_first_and_no_more_than_wanted() {
    let sought = |name: &str| {
        let mut entity = Entity::new(Schema::Person);
        entity.add("name", name);
        entity
    };
    let policy = Policy::strict();
    let sought = sought("Mohammed Ali");
    let all = compared(&sought, Search { policy: &policy, cutoff: 0.3, limit: usize::MAX });
    assert!(all.len() > 5, "{}", all.len());
    for limit in [0, 1, 3] {
        let search = Search { policy: &policy, cutoff: 0.3, limit };
        assert_eq!(found(&sought, search), all[..limit]);
    }
}

#[test]
fn the_same_list_makes_the_same_index() {
    let some = &LISTED[..300];
    assert_eq!(built(some), built(some));
}

#[test]
fn what_is_no_index_is_refused() {
    let file = built(&LISTED[..50]);
    assert_eq!(Index::open(b"not an index".to_vec()).err(), Some(IndexError::Other));
    assert_eq!(Index::open(file[..file.len() - 1].to_vec()).err(), Some(IndexError::Damaged));
    let mut other = file.clone();
    other[8] ^= 1;
    assert_eq!(Index::open(other).err(), Some(IndexError::Tables));
    let mut other = file;
    other[70] ^= 1;
    assert_eq!(Index::open(other).err(), Some(IndexError::Damaged));
}

#[test]
fn a_damaged_index_is_refused() {
    let file = built(&LISTED[..50]);
    for place in (64..file.len()).step_by(file.len() / 200) {
        let mut damaged = file.clone();
        damaged[place] ^= 4;
        assert_eq!(Index::open(damaged).err(), Some(IndexError::Damaged), "{place}");
    }
}

#[test]
fn a_word_that_is_a_misspelt_legal_form_is_found() {
    let company = |name: &str| {
        let mut entity = Entity::new(Schema::Company);
        entity.add("name", name);
        entity
    };
    let listed = company("GRUPO MUNDO MARINO, S.A.");
    let index = Index::open(built(std::slice::from_ref(&listed))).unwrap();
    let policy = Policy::balanced();
    let search = Search { policy: &policy, cutoff: 0.5, limit: 1 };
    let load = |_| Ok::<_, Infallible>(listed.clone());
    assert_eq!(index.search(&company("GRUPOW S.A."), search, load).unwrap().len(), 1);
}
