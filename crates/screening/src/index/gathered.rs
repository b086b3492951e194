//! What searches gather from an index once and keep for the next ones.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::{
    layout::{Space, View},
    words::share,
};
use crate::names::{Kind, MISSPELT_SIMILARITY, Sound, Word, fold, misspelt_form};

/// Legal forms whose misspellings are kept. There are fewer in the tables.
const MISSPELT_KEPT_MAX: usize = 4_096;

/// What was gathered.
#[derive(Default)]
pub struct Gathered {
    short_forms: OnceLock<Vec<u32>>,
    misspelt: RwLock<FxHashMap<Word, Arc<Misspelt>>>,
}

/// Words of an index that are a legal form with a mistake.
pub struct Misspelt {
    /// The words, in order, and how alike they are.
    words: Vec<(u32, f64)>,
    /// The places of their folded forms in Latin and kindred scripts, in order.
    pub places: Vec<u32>,
}

impl Misspelt {
    fn of(view: &View<'_>, form: &Word) -> Self {
        let space = Space::of(view.image, 0, Sound::Whole);
        let (mut words, mut places) = (Vec::new(), Vec::new());
        view.words_in_order().near(form.bytes(), share(MISSPELT_SIMILARITY), |at| {
            let word = u32::try_from(at).unwrap_or(u32::MAX);
            let text = view.text(word);
            if let Some(similarity) = misspelt_form(form, &text) {
                words.push((word, similarity));
                places.extend(space.forms.find(fold(&text).bytes()));
            }
        });
        let mut places: Vec<u32> =
            places.into_iter().filter_map(|place| u32::try_from(place).ok()).collect();
        places.sort_unstable();
        places.dedup();
        Self { words, places }
    }

    /// The words, and how alike each is.
    pub fn words(&self) -> impl Iterator<Item = (u32, f64)> {
        self.words.iter().copied()
    }

    /// How alike a word is, if it is one of them.
    pub fn similarity(&self, word: u32) -> Option<f64> {
        let at = self.words.binary_search_by_key(&word, |(word, _)| *word).ok()?;
        Some(self.words[at].1)
    }
}

impl Gathered {
    /// Parts that are legal forms or initials.
    pub fn short_forms(&self, view: &View<'_>) -> &[u32] {
        self.short_forms.get_or_init(|| {
            let all = 0..u32::try_from(view.parts.len()).unwrap_or(u32::MAX);
            let short = |kind: Kind| matches!(kind, Kind::Legal(_) | Kind::Initial);
            all.filter(|part| short(view.record(*part).kind)).collect()
        })
    }

    /// Words that are a legal form with a mistake.
    pub fn misspelt(&self, view: &View<'_>, form: &Word) -> Arc<Misspelt> {
        let kept = self.misspelt.read().unwrap_or_else(PoisonError::into_inner).get(form).cloned();
        kept.unwrap_or_else(|| {
            let found = Arc::new(Misspelt::of(view, form));
            let mut kept = self.misspelt.write().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MISSPELT_KEPT_MAX {
                kept.insert(*form, found.clone());
            }
            found
        })
    }
}
