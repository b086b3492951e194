//! One file for each thing that is watched. Each detector gets a [`crate::sight::Sight`] and its own
//! table, and says what it found to [`crate::watch::Raise`].

pub(crate) mod accounts;
pub(crate) mod addresses;
pub(crate) mod admin;
pub(crate) mod crowds;
pub(crate) mod objects;
pub(crate) mod passwords;
pub(crate) mod rates;
pub(crate) mod sessions;
pub(crate) mod tallies;
pub(crate) mod travel;
