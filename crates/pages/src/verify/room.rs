use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use portcullis_types::{AddrKey, ClientAddr};

use super::SessionId;

/// Forms with pictures that are held in memory at once: as many times 12 MiB, and 40 MiB while a provider looks.
const FORMS_MAX: usize = 48;
/// Those from one address.
const ADDRESS_MAX: usize = 6;

/// Room for forms with pictures. Each link has one place, and each address some, so that nobody takes all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms(Arc<Mutex<HashMap<SessionId, AddrKey>>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    forms: Forms,
    id: SessionId,
}

impl Forms {
    /// A place for a form of a session; none if there is no room, or if another one of it is being read.
    pub(super) fn enter(&self, id: SessionId, addr: ClientAddr) -> Option<Place> {
        let addr = addr.key();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.values().filter(|other| **other == addr).count();
        if held.len() >= FORMS_MAX || own >= ADDRESS_MAX || held.contains_key(&id) {
            return None;
        }
        held.insert(id, addr);
        Some(Place { forms: self.clone(), id })
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
    fn each_link_has_one_place_and_each_address_some() {
        let forms = Forms::default();
        let id = |number: usize| Id::from_bits(number as u128);
        let addr = |number: usize| {
            let ip: std::net::IpAddr = format!("192.0.2.{number}").parse().unwrap();
            ClientAddr::from(ip)
        };
        let places: Vec<_> =
            (0..FORMS_MAX).filter_map(|at| forms.enter(id(at), addr(at / ADDRESS_MAX))).collect();
        assert_eq!(places.len(), FORMS_MAX);
        assert!(forms.enter(id(FORMS_MAX), addr(99)).is_none(), "there is no room");
        drop(places);
        let places: Vec<_> =
            (0..=ADDRESS_MAX).filter_map(|at| forms.enter(id(at), addr(1))).collect();
        assert_eq!(places.len(), ADDRESS_MAX);
        assert!(forms.enter(id(0), addr(2)).is_none(), "one for each link");
        assert!(forms.enter(id(ADDRESS_MAX), addr(2)).is_some());
    }
}
