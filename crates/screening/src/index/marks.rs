//! Marks of the parts of an index.

/// The mark of parts of which more is known than a mark can say.
pub const MET: u8 = u8::MAX;

/// Numbers of marks that are set for which room is kept.
const SET_KEPT_MAX: usize = 1 << 16;

/// Marks of the parts of an index, in one byte each so that they stay near the core. They are kept from one
/// search to the next: only those that were set are taken away again.
#[derive(Default)]
pub struct Marks {
    /// 0 for what was not looked at, [`MET`], or one more than the place in what a scale knows of kinds of parts that
    /// meet nothing.
    of: Vec<u8>,
    set: Vec<u32>,
}

impl Marks {
    /// The mark of a part.
    pub fn get(&self, part: u32) -> u8 {
        self.of.get(part as usize).copied().unwrap_or(MET)
    }

    /// Marks a part.
    pub fn set(&mut self, part: u32, mark: u8) {
        if let Some(place) = self.of.get_mut(part as usize) {
            *place = mark;
            self.set.push(part);
        }
    }

    /// None set, for so many parts.
    pub fn clear(&mut self, parts: usize) {
        for part in self.set.drain(..) {
            if let Some(mark) = self.of.get_mut(part as usize) {
                *mark = 0;
            }
        }
        self.set.shrink_to(SET_KEPT_MAX);
        self.of.resize(parts, 0);
    }
}
