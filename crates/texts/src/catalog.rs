//! The catalogues: a text a line, English and translation separated by a tab, `\n` for a new line.

use std::{collections::HashMap, sync::LazyLock};

use crate::Lang;

type Catalog = HashMap<String, String>;

const TEXTS: [(Lang, &str); 3] = [
    (Lang::De, include_str!("../catalog/de.tsv")),
    (Lang::Es, include_str!("../catalog/es.tsv")),
    (Lang::Fr, include_str!("../catalog/fr.tsv")),
];

static CATALOGS: LazyLock<[Catalog; 3]> = LazyLock::new(|| TEXTS.map(|(_, text)| read(text)));

fn read(text: &str) -> Catalog {
    let plain = |text: &str| text.replace("\\n", "\n");
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    pairs.map(|(key, value)| (plain(key), plain(value))).collect()
}

/// What `lang` says for an English text.
pub(crate) fn find(lang: Lang, text: &str) -> Option<&'static str> {
    let place = TEXTS.iter().position(|(known, _)| *known == lang)?;
    CATALOGS[place].get(text).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every language says everything that another one does, and fills in the same.
    #[test]
    fn catalogues_are_complete_and_fill_in_the_same() {
        let keys = |(_, text): &(Lang, &str)| {
            text.lines().map(|l| l.split_once('\t').unwrap().0.to_owned()).collect::<Vec<_>>()
        };
        let places = |text: &str| {
            text.match_indices('{')
                .map(|(at, _)| text[at..at + 3].to_owned())
                .collect::<BTreeSet<_>>()
        };
        let of_german: BTreeSet<String> = keys(&TEXTS[0]).into_iter().collect();
        assert!(of_german.len() > 200);
        for catalog in &TEXTS {
            let listed = keys(catalog);
            let unique: BTreeSet<String> = listed.iter().cloned().collect();
            assert_eq!(listed.len(), unique.len(), "{:?} says something twice", catalog.0);
            let odd: Vec<_> = unique.symmetric_difference(&of_german).collect();
            assert!(odd.is_empty(), "{:?}: {odd:?}", catalog.0);
            for line in catalog.1.lines() {
                let (key, value) = line.split_once('\t').unwrap();
                assert_eq!(places(key), places(value), "{:?}: {key}", catalog.0);
                assert!(!value.trim().is_empty() && !value.contains('\t'), "{key}");
            }
        }
    }
}
