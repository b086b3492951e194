//! An index finds whom a comparison with everybody finds.

use std::{convert::Infallible, sync::LazyLock};

use portcullis_screening::{
    Entity, Policy, Profile, Qualifiers, Schema,
    import::Format,
    index::{Index, IndexBuilder, IndexError, Place, Search},
    names::Weights,
    score,
};

use crate::lists::{list, ofac, read_text};

/// Some of the lists of OFAC and the UN, so that everybody can be compared with everybody.
pub static LISTED: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let (un, _) = read_text(Format::UnXml, &list("un_consolidated.xml"), false).unwrap();
    let some = |every: usize, from: Vec<portcullis_screening::import::Listed>| {
        from.into_iter().step_by(every).map(|listed| listed.entity)
    };
    some(4, un).chain(some(16, ofac())).collect()
});

static INDEX: LazyLock<Index> = LazyLock::new(|| Index::open(built(&LISTED)).unwrap());

fn built(entities: &[Entity]) -> Vec<u8> {
    // Of so few entities a part is common sooner than in a long list.
    let mut builder = IndexBuilder::with_common(3);
    entities.iter().for_each(|entity| builder.add(entity, Place::default()));
    let mut file = Vec::new();
    builder.write([7; 32], &mut file).unwrap();
    file
}

fn found_in(
    (index, listed): (&Index, &[Entity]),
    sought: &Entity,
    search: Search<'_>,
) -> Vec<(u32, f64)> {
    let load = |entity: u32| Ok::<_, Infallible>(Some(listed[entity as usize].clone()));
    let found = index.search(sought, search, load).unwrap();
    found.iter().map(|found| (found.entity, found.verdict.score)).collect()
}

/// Everybody that a comparison with everybody finds.
fn compared_with(listed: &[Entity], sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
    let verdict = |listed: &Entity| {
        score(
            &Profile::beside(sought, listed.schema),
            &Profile::beside(listed, sought.schema),
            search.policy,
        )
    };
    let mut all: Vec<(u32, f64)> = (0..)
        .zip(listed)
        .map(|(entity, listed)| (entity, verdict(listed)))
        .filter(|(_, verdict)| verdict.schemas_fit && verdict.score >= search.cutoff)
        .map(|(entity, verdict)| (entity, verdict.score))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

fn found(sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
    found_in((&INDEX, &LISTED), sought, search)
}

fn compared(sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
    compared_with(&LISTED, sought, search)
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
    for place in (48..64).chain((64..file.len()).step_by(file.len() / 200)) {
        let mut damaged = file.clone();
        damaged[place] ^= 4;
        assert_eq!(Index::open(damaged).err(), Some(IndexError::Damaged), "{place}");
    }
}

fn entity(schema: Schema, values: &[(&str, &str)]) -> Entity {
    let mut entity = Entity::new(schema);
    values.iter().for_each(|(property, value)| entity.add(property, value));
    entity
}

/// Names that share beginnings and endings with those that are looked for, so that the trees have branches.
fn neighbours() -> impl Iterator<Item = Entity> {
    let consonants = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t"];
    consonants.into_iter().flat_map(move |a| {
        consonants.into_iter().flat_map(move |b| {
            ["Ra", "A"].into_iter().flat_map(move |start| {
                ["i", "ali"].map(|end| {
                    let name = format!("{start}{a}{b}{end}");
                    entity(Schema::Person, &[("name", name.as_str())])
                })
            })
        })
    })
}

/// What once was missed: the subject, the entity, and the least score.
#[test]
fn hits_that_are_hard_to_reach_are_found() {
    use Schema::{Company, Person};
    let born = ("birthDate", "1975-05-03");
    let known = [born, ("country", "fr"), ("gender", "male")];
    let all = |name: &'static str| [&[("name", name)], &known[..]].concat();
    type Values = Vec<(&'static str, &'static str)>;
    let cases: [(Schema, Values, Values, f64); 21] = [
        // A common word and the same day.
        (
            Person,
            vec![("name", "Ivan Kuznetsovsky"), born],
            vec![("name", "Pavel Kuznetsovsky"), born],
            0.7,
        ),
        (Person, vec![("name", "Mardin"), born], vec![("name", "Maltin"), born], 0.7),
        (Person, all("Anna Lindqvist"), all("Boris Petrov"), 0.3),
        // Letters that change places, and print.
        (Person, vec![("name", "Rasmi")], vec![("name", "Ramsi")], 0.7),
        (Person, vec![("name", "Barn")], vec![("name", "Bam")], 0.7),
        (Person, vec![("name", "Amali")], vec![("name", "Arnali")], 0.7),
        (Person, vec![("name", "Arnali")], vec![("name", "Amali")], 0.7),
        // Initials and misspelt legal forms.
        (Person, vec![("name", "Al Kuznetsovsky")], vec![("name", "Al K.")], 0.7),
        (Company, vec![("name", "Lymitad GmbH")], vec![("name", "Limited GmbH")], 0.86),
        (Company, vec![("name", "GRUPOW S.A.")], vec![("name", "GRUPO MUNDO MARINO, S.A.")], 0.5),
        // Letters that stand twice cost little.
        (Company, vec![("name", "Radali Limited")], vec![("name", "Radali Lymmittad")], 0.95),
        // Parts written together.
        (Person, vec![("name", "Woodscole")], vec![("name", "Woods Cole")], 0.7),
        (Person, vec![("name", "Woods Cole")], vec![("name", "Woodscole")], 0.7),
        (Person, vec![("name", "Leedscaro")], vec![("name", "Leeds Caro")], 0.7),
        (Person, vec![("name", "Kanal")], vec![("name", "กัน")], 0.5),
        // One of two that are the same is written apart.
        (
            Company,
            vec![("name", "Construction S.A. Construction")],
            vec![("name", "Constr-uction Construction")],
            0.3,
        ),
        (
            Person,
            vec![("name", "Christopher Christopher")],
            vec![("name", "Christopher Sr Chr istopher")],
            0.7,
        ),
        // Longer than a word that is kept.
        (
            Person,
            vec![("name", "李 张伟张伟张伟张伟张伟")],
            vec![("name", "张伟张伟张伟张伟张伟")],
            0.7,
        ),
        // An initial and a legal form.
        (Company, vec![("name", "C GmbH")], vec![("name", "Construction GmbH")], 0.76),
        (Company, vec![("name", "B AG")], vec![("name", "Bank AG")], 0.76),
        (Person, vec![("country", "fr")], vec![("name", "Anna Lindqvist")], 0.0),
    ];
    let mut listed: Vec<Entity> = neighbours().collect();
    // A common part.
    for name in ["Radali", "Radali Zavod Steel", "Radali Trade", "Radali Bank Limited"] {
        listed.push(entity(Company, &[("name", name)]));
    }
    listed.extend(cases.iter().map(|(schema, _, values, _)| entity(*schema, values)));
    let index = Index::open(built(&listed)).unwrap();
    let odd = Policy {
        qualifiers: Qualifiers {
            number_different: 2.5,
            weak_alias: 0.5,
            ..Policy::balanced().qualifiers
        },
        ..Policy::balanced()
    };
    for policy in [Policy::balanced(), Policy::strict(), odd] {
        for (schema, sought, _, cutoff) in &cases {
            let sought = entity(*schema, sought);
            let search = Search { policy: &policy, cutoff: *cutoff, limit: usize::MAX };
            let all = compared_with(&listed, &sought, search);
            assert_eq!(found_in((&index, &listed), &sought, search), all, "{sought:?}");
        }
    }
}

#[test]
fn a_legal_form_with_a_mistake_carries_a_name_as_far_as_it_does_in_a_comparison() {
    let company = |name: &str| entity(Schema::Company, &[("name", name)]);
    let policy = Policy::balanced();
    // What costs little as it is written may cost much by its sound: c before e is s.
    for (sought, listed) in [
        ("Nord company", "Nord Oyama cempany"),
        ("Nord gesellschaft", "Nord Oyama geellschaft"),
        ("Nord Kavita corporacion", "Nord corporaicon"),
        ("Trading adsic", "Trodink adsie"),
        ("Karimov partners", "Karimof partaers"),
    ] {
        let listed =
            [company(listed), company("Nord Sued"), company("Nord Ost"), company("Nord West")];
        let index = Index::open(built(&listed)).unwrap();
        let sought = company(sought);
        let cutoff = |cutoff| Search { policy: &policy, cutoff, limit: usize::MAX };
        let [(0, score), ..] = *compared_with(&listed, &sought, cutoff(0.6)) else {
            panic!("{sought:?} is not near")
        };
        // Exactly at its score nothing may be given away.
        let all = compared_with(&listed, &sought, cutoff(score));
        assert_eq!(found_in((&index, &listed), &sought, cutoff(score)), all, "{sought:?}");
    }
}

#[test]
fn policies_of_ones_own_are_searched_by() {
    let person = |name: &str, passport: &str| {
        entity(Schema::Person, &[("name", name), ("passportNumber", passport)])
    };
    let listed = [
        person("Maltin", "CD654321"),
        person("Ziyadullin abdol Omarkhelov", "CD654322"),
        person("Ping Sr Sr", "CD654323"),
        person("Wang Aiken", "CD654324"),
        person("Wang Jianhua", "CD654325"),
        entity(Schema::Person, &[("weakAlias", "Karimov Nasir"), ("birthDate", "1975-05-03")]),
    ];
    let index = Index::open(built(&listed)).unwrap();
    let balanced = Policy::balanced;
    let numbers = Qualifiers { number_different: 2.5, ..balanced().qualifiers };
    let weak = Qualifiers { weak_alias: 0.5, birth_exact: 2.0, ..balanced().qualifiers };
    let names = Weights {
        worth_80: 1.0,
        worth_90: 1.0,
        worth_95: 1.0,
        contradiction_person: 0.0,
        left_out_single: 0.25,
        ..Weights::default()
    };
    let of_names = |names| Policy { names, ..balanced() };
    let policies = [
        Policy { qualifiers: numbers, ..balanced() },
        Policy { qualifiers: weak, ..balanced() },
        of_names(names),
        of_names(Weights { generations: 2.0, ..Weights::default() }),
        of_names(Weights { long_person: 0.0, ..Weights::default() }),
        of_names(Weights { known_to_differ: 0.0, ..Weights::default() }),
        of_names(Weights { contradiction_person: 0.0, left_out_single: 0.0, ..Weights::default() }),
    ];
    let weak =
        entity(Schema::Person, &[("weakAlias", "Karim Nasser"), ("birthDate", "1975-05-03")]);
    for policy in policies {
        assert_eq!(policy.check(), Ok(()));
        for sought in [
            person("Mardin", "AB123456"),
            person("Karimullov abdel Nasserovan", "X1234"),
            person("Sr Jr Sr da", "X1235"),
            person("Wang Aiden", "X1236"),
            person("Wang Jianguo", "X1237"),
            weak.clone(),
        ] {
            for cutoff in [0.17, 0.2, 0.5, 0.7, 0.86, 0.9] {
                let search = Search { policy: &policy, cutoff, limit: usize::MAX };
                let all = compared_with(&listed, &sought, search);
                assert_eq!(found_in((&index, &listed), &sought, search), all, "{sought:?}");
            }
        }
    }
}
