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
//! An index is a file ([`file`]) that is used as it lies there. A new version of a list needs no new one: what
//! is new since is a second, small one beside it ([`update`]), and both are searched.

mod beside;
mod births;
mod bounds;
mod build;
mod company;
mod file;
mod forms;
mod gathered;
mod keyed;
mod layout;
mod letters;
mod marks;
mod merge;
mod records;
mod scale;
mod search;
mod segment;
mod sum;
mod update;
mod walk;
mod words;
mod write;

pub use beside::Builders;
pub use build::{IndexBuilder, Place};
pub use file::IndexError;
pub use search::{Found, Search};
pub use update::Update;

use std::{hash::Hasher, sync::LazyLock};

use rustc_hash::FxHasher;

use segment::Segment;
use update::Updated;

/// An index, ready to be used: of a whole list, or of a version before and of what is new since.
pub struct Index {
    base: Segment,
    update: Option<Updated>,
}

/// What the tables and the rules of this crate are, so that no index is used with others, and nobody takes what
/// was found under others for what would be found now.
pub fn rules() -> u64 {
    /// Changes whenever names are read or compared in another way.
    const RULES: u64 = 4;
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
        Ok(Self { base: Segment::open(bytes)?, update: None })
    }

    /// An index from the bytes of the file of a version before and of the file that [`Update`] has written.
    pub fn open_updated(
        base: impl AsRef<[u8]> + Send + Sync + 'static,
        update: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Self, IndexError> {
        let base = Segment::open(base)?;
        let update = Updated::open(&base, update)?;
        Ok(Self { base, update: Some(update) })
    }

    /// SHA-256 of the list it was made of.
    pub fn list(&self) -> [u8; 32] {
        self.update.as_ref().map_or(self.base.image.list, Updated::list)
    }

    /// How many entities it has.
    pub fn len(&self) -> usize {
        self.update.as_ref().map_or(self.base.len(), Updated::len)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> usize {
        self.base.image.len() + self.update.as_ref().map_or(0, Updated::bytes)
    }

    /// Where the text of an entity is, as [`IndexBuilder::add`] was told.
    pub fn place(&self, entity: u32) -> Option<Place> {
        match &self.update {
            None => self.base.place(entity),
            Some(update) => update.place(&self.base, entity),
        }
    }

    /// Begins the index of a new version of the list, which has only what is new since the whole one was made.
    pub fn into_update(self) -> Update {
        Update::of(self.base)
    }
}
