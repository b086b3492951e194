//! An index of a list: whom a name may be, without looking at everybody.
//!
//! What it finds is what [`crate::score`] finds when each entity of the list is compared: nobody with a score
//! from the least on is left out. That works because a name can only be near another if one of its parts is
//! near one of the other's, or if both have a key in common that says so otherwise (parts written together,
//! the whole as one word, first letters, numbers). From how much a score needs it is known how near one part
//! must be at least. Words that near are found ([`forms`]), then the names in which they stand, and what is
//! known about each such name is enough to leave nearly all of them out. The few that stay are read from the
//! list and compared for good.
//!
//! An index is a file ([`file`]) that is used as it lies there.

mod births;
mod bounds;
mod build;
mod company;
mod file;
mod forms;
mod keyed;
mod layout;
mod letters;
mod marks;
mod scale;
mod search;
mod sum;
mod words;

pub use build::{IndexBuilder, Place};
pub use file::IndexError;
pub use search::{Found, Search};

use std::{
    hash::Hasher,
    sync::{LazyLock, Mutex, OnceLock, PoisonError},
};

use rustc_hash::FxHasher;
use zerocopy::little_endian::{U32, U64};

use file::Image;
use layout::{View, section};
use marks::Marks;

/// Marks that are kept for searches to come; more searches at once make their own.
const MARKS_KEPT_MAX: usize = 8;

/// An index, ready to be used.
pub struct Index {
    image: Image,
    /// Parts that are legal forms or initials.
    short_forms: OnceLock<Vec<u32>>,
    /// What searches need that is as long as the index, for the next ones.
    marks: Mutex<Vec<Marks>>,
}

/// What the tables and the rules of this crate are, so that no index is used with others, and nobody takes what
/// was found under others for what would be found now.
pub fn rules() -> u64 {
    /// Changes whenever names are read or compared in another way.
    const RULES: u64 = 3;
    /// Crates that read letters may read them otherwise in another version.
    const ALL_SCRIPTS: &str =
        "Łódź ßæ Đorđe Щукин Χρήστος محمد משה 习近平 やまもと 김정은 ทักษิณ नरेन्द्र გიორგი Հայկ አበበ";
    static SUM: LazyLock<u64> = LazyLock::new(|| {
        let mut hasher = FxHasher::default();
        hasher.write_u64(RULES);
        crate::tables::texts().iter().for_each(|text| hasher.write(text.as_bytes()));
        for word in crate::names::words(ALL_SCRIPTS, None, true) {
            hasher.write(word.latin.bytes());
        }
        hasher.finish()
    });
    *SUM
}

impl Index {
    /// An index from the bytes of its file, mapped or read.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, IndexError> {
        let image = Image::open(Box::new(bytes), rules())?;
        Ok(Self { image, short_forms: OnceLock::new(), marks: Mutex::default() })
    }

    /// SHA-256 of the list it was made of.
    pub fn list(&self) -> [u8; 32] {
        self.image.list
    }

    fn marks(&self) -> Marks {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn keep(&self, marks: Marks) {
        let mut kept = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MARKS_KEPT_MAX {
            kept.push(marks);
        }
    }

    fn view(&self) -> View<'_> {
        View::of(
            &self.image,
            self.short_forms.get_or_init(|| View::of(&self.image, &[]).short_forms()),
        )
    }

    /// How many entities it has.
    pub fn len(&self) -> usize {
        self.image.get::<u8>(section::ENTITY_SCHEMAS).len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> usize {
        self.image.len()
    }

    /// Where the text of an entity is, as [`IndexBuilder::add`] was told.
    pub fn place(&self, entity: u32) -> Option<Place> {
        let places: &[U64] = self.image.get(section::ENTITY_PLACES);
        let lengths: &[U32] = self.image.get(section::ENTITY_LENGTHS);
        let checks: &[U64] = self.image.get(section::ENTITY_CHECKS);
        Some(Place {
            offset: places.get(entity as usize)?.get(),
            length: lengths.get(entity as usize)?.get(),
            check: checks.get(entity as usize)?.get(),
        })
    }
}
