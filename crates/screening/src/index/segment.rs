//! A file of an index, ready to be searched.

use std::sync::{Mutex, PoisonError};

use zerocopy::little_endian::{U32, U64};

use super::{
    Place,
    file::{Image, IndexError},
    gathered::Gathered,
    layout::{View, section},
    marks::Marks,
    rules,
};

/// Marks that are kept for searches to come; more searches at once make their own.
const MARKS_KEPT_MAX: usize = 8;

/// A file with what searches of it need.
pub struct Segment {
    /// The file.
    pub image: Image,
    gathered: Gathered,
    /// What searches need that is as long as the index, for the next ones.
    marks: Mutex<Vec<Marks>>,
}

impl Segment {
    /// From the bytes of the file of a whole list.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, IndexError> {
        let segment = Self::of_any(bytes)?;
        let whole = segment.image.get::<u8>(section::BASE).is_empty();
        if whole { Ok(segment) } else { Err(IndexError::Base) }
    }

    /// From the bytes of a file, also of one that has only what is new.
    pub fn of_any(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, IndexError> {
        let image = Image::open(Box::new(bytes), rules())?;
        Ok(Self { image, gathered: Gathered::default(), marks: Mutex::default() })
    }

    /// Marks for a search.
    pub fn marks(&self) -> Marks {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps marks for the next search.
    pub fn keep(&self, marks: Marks) {
        let mut kept = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MARKS_KEPT_MAX {
            kept.push(marks);
        }
    }

    /// All sections.
    pub fn view(&self) -> View<'_> {
        View::of(&self.image, &self.gathered)
    }

    /// How many entities it has.
    pub fn len(&self) -> usize {
        self.image.get::<u8>(section::ENTITY_SCHEMAS).len()
    }

    /// Where the text of an entity is.
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
