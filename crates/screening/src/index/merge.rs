//! Parts of an index that were made apart, put together.

use super::build::{IndexBuilder, PartKey, long};

impl IndexBuilder {
    /// Puts what another has behind what this one has, as if the same entities had been added here.
    pub fn append(&mut self, other: Self) {
        let mut words = vec![0; other.words.len()];
        for (word, number) in other.words {
            let next = long(self.words.len());
            words[number as usize] = *self.words.entry(word).or_insert(next);
        }
        let mut parts = vec![0; other.parts.len()];
        for (key, number) in other.parts {
            let next = long(self.parts.len());
            let key = PartKey { word: words[key.word as usize], ..key };
            parts[number as usize] = *self.parts.entry(key).or_insert(next);
        }
        let (entities, names) = (long(self.schemas.len()), long(self.names.len()));
        shift(&mut self.entity_names, other.entity_names, names);
        shift(&mut self.country_offsets, other.country_offsets, long(self.countries.len() / 2));
        shift(&mut self.birth_offsets, other.birth_offsets, long(self.births.len() / 2));
        shift(&mut self.names, other.names, long(self.name_parts.len()));
        shift(&mut self.name_entities, other.name_entities, entities);
        self.name_parts.extend(other.name_parts.into_iter().map(|part| parts[part as usize]));
        self.name_tags.extend(other.name_tags);
        shift_values(&mut self.name_hashes, other.name_hashes, names);
        shift_values(&mut self.number_hashes, other.number_hashes, entities);
        shift_values(&mut self.day_hashes, other.day_hashes, entities);
        self.places.extend(other.places);
        self.lengths.extend(other.lengths);
        self.checks.extend(other.checks);
        self.schemas.extend(other.schemas);
        self.flags.extend(other.flags);
        self.countries.extend(other.countries);
        self.births.extend(other.births);
    }
}

/// Numbers that count from a later place now.
fn shift(all: &mut Vec<u32>, more: Vec<u32>, by: u32) {
    all.extend(more.into_iter().map(|number| number.saturating_add(by)));
}

fn shift_values(all: &mut Vec<(u32, u32)>, more: Vec<(u32, u32)>, by: u32) {
    all.extend(more.into_iter().map(|(hash, number)| (hash, number.saturating_add(by))));
}
