//! Names: written in any script, read as words, compared word by word.

mod alike;
mod distance;
mod joined;
mod numerals;
mod pair;
mod parts;
mod pinyin;
mod script;
mod sound;
mod taken;
mod text;
mod weights;
mod word;

pub use alike::How;
pub(crate) use alike::{
    ADJECTIVE_MIN_LETTERS, INITIAL_SIMILARITY, LEAST_SIMILARITY, MISSPELT_MIN_LETTERS,
    MISSPELT_SIMILARITY, alike, is_adjective_of, misspelt_form, most_for, of_adjective,
};
pub(crate) use distance::{
    EDIT_COST, FAR, MISREAD, REPEATED, Row, SWAPPED, distance, gap, substitution,
};
pub(crate) use joined::{JOINED_MAX_DIFFERENCE, KEY_MIN_CONSONANTS, Run, is_written_apart, runs};
pub use pair::{NameScore, compare};
pub(crate) use pair::{initials, stand_together, telling, whole_key};
pub use parts::{Kind, Name, Part, Subject};
pub(crate) use parts::{LEGAL_WEIGHT, part};
pub use script::Script;
pub(crate) use sound::{Sound, consonants_of_fold, fold};
pub use taken::Matched;
pub(crate) use taken::{Facet, Sides, against, worth};
pub(crate) use text::plain_original;
pub use text::{NAME_MAX_LETTERS, NAME_MAX_WORDS, words};
pub use weights::Weights;
pub use word::{WORD_MAX_LETTERS, Word};
