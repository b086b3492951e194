use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::SessionId;

/// Forms with pictures that are held in memory at once: as many times 12 MiB at most.
const FORMS_MAX: usize = 32;

/// Room for forms with pictures. Each link has one place, so that nobody takes all of them with one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms(Arc<Mutex<HashSet<SessionId>>>);

/// A place, until it is dropped.
pub(super) struct Place {
    forms: Forms,
    id: SessionId,
}

impl Forms {
    /// A place for a form of a session; none if there is no room, or if another one of it is being read.
    pub(super) fn enter(&self, id: SessionId) -> Option<Place> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = held.len() < FORMS_MAX && held.insert(id);
        fits.then(|| Place { forms: self.clone(), id })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.forms.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use portcullis_types::Id;

    use super::*;

    #[test]
    fn each_link_has_one_place_and_all_of_them_some() {
        let (forms, id) = (Forms::default(), |number: usize| Id::from_bits(number as u128));
        let places: Vec<_> = (0..FORMS_MAX).filter_map(|number| forms.enter(id(number))).collect();
        assert_eq!(places.len(), FORMS_MAX);
        assert!(forms.enter(id(FORMS_MAX)).is_none() && forms.enter(id(0)).is_none());
        drop(places);
        let place = forms.enter(id(0));
        assert!(place.is_some() && forms.enter(id(0)).is_none() && forms.enter(id(1)).is_some());
    }
}
