//! Names: written in any script, read as words, compared word by word.

mod alike;
mod joined;
mod pair;
mod parts;
mod script;
mod sound;
mod text;
mod weights;
mod word;

pub use alike::How;
pub(crate) use alike::{LEAST_SIMILARITY, alike};
pub(crate) use joined::{KEY_MIN_CONSONANTS, Run, runs};
pub use pair::{Matched, NameScore, compare};
pub(crate) use pair::{initials, stand_together, telling, whole_key, worth};
pub(crate) use parts::part;
pub use parts::{Kind, Name, Part, Subject};
pub use script::Script;
pub(crate) use sound::{EDIT_COST, Sound, consonants_of_fold, distance, fold, gap, substitution};
pub(crate) use text::plain_original;
pub use text::{NAME_MAX_LETTERS, NAME_MAX_WORDS, words};
pub use weights::Weights;
pub use word::{WORD_MAX_LETTERS, Word};
