use std::sync::Arc;

use portcullis_events::ListUsed;
use portcullis_screening::{
    Entity,
    import::Listed,
    index::{Found, Search},
};

use super::{AmlError, Terms};

/// A list cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ListError(pub String);

/// What is known about a version of a list.
#[derive(Debug, Clone)]
pub struct ListVersion {
    /// The name, the version and the digest.
    pub used: ListUsed,
    /// Where it came from.
    pub source: String,
    /// In which format.
    pub format: String,
    /// When it was imported, RFC 3339.
    pub imported: String,
    /// When its publisher made it, as it says.
    pub published: Option<String>,
    /// How many entities it has.
    pub entities: usize,
    /// How many of them the version before did not have.
    pub added: usize,
    /// How many are not what they were.
    pub changed: usize,
    /// How many only the version before had.
    pub removed: usize,
    /// Records that were malformed and left out.
    pub skipped: usize,
}

/// Somebody on a list who may be meant.
#[derive(Debug, Clone)]
pub struct ListHit {
    /// How the list calls the entity.
    pub id: String,
    /// The entity, and why it is a hit.
    pub found: Found,
}

/// What is new in a list.
#[derive(Debug, Default)]
pub struct Changes {
    /// Entities that were added, or are not what they were.
    pub changed: Vec<Listed>,
    /// Those that are gone.
    pub removed: Vec<String>,
}

/// Whether an entity is wanted, by its identifier and what is known of it. Whoever is not takes nobody's place.
pub type Wanted<'w> = &'w dyn Fn(&str, &Entity) -> bool;

/// A version of a list that can be searched.
pub trait ScreeningList: Send + Sync {
    /// What is known about it.
    fn version(&self) -> &ListVersion;

    /// Those who are wanted of everybody who may be meant, the best first.
    fn search(
        &self,
        subject: &Entity,
        search: Search<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Vec<ListHit>, ListError>;

    /// What is new since the version of the list with this digest; `None` if that is not there any more, or
    /// if so much is new that a look at all of it is as good.
    fn changes_since(&self, digest: &str) -> Result<Option<Changes>, ListError>;

    /// The entity that the list calls so.
    fn entity(&self, id: &str) -> Result<Option<Entity>, ListError>;
}

/// The lists of a node.
#[derive(Clone, Default)]
pub struct Lists {
    /// Those that can be searched.
    pub ready: Vec<Arc<dyn ScreeningList>>,
    /// The names of those that cannot, and why.
    pub broken: Vec<(String, ListError)>,
}

impl Lists {
    /// The list of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<dyn ScreeningList>> {
        self.ready.iter().find(|list| list.version().used.name == name)
    }

    /// Whether there is a list of that name, be it one that cannot be searched.
    fn has(&self, name: &str) -> bool {
        self.named(name).is_some() || self.broken.iter().any(|(own, _)| own == name)
    }

    /// Whether terms want a list. Where all that they name are retired, everybody is better than nobody.
    pub(crate) fn wanted(&self, terms: &Terms, list: &str) -> bool {
        terms.wants(list) || !terms.lists.iter().any(|name| self.has(name))
    }

    /// Those that terms want. Where they are named `now`, they must be there; where they were once, some may be
    /// retired.
    pub(crate) fn select(
        &self,
        terms: &Terms,
        now: bool,
    ) -> Result<Vec<Arc<dyn ScreeningList>>, AmlError> {
        if let Some(name) = terms.lists.iter().find(|name| now && !self.has(name)) {
            return Err(AmlError::Invalid("lists", format!("has {name}, which is no list")));
        }
        let wanted = |name: &str| self.wanted(terms, name);
        if let Some((name, why)) = self.broken.iter().find(|(name, _)| wanted(name)) {
            return Err(AmlError::List(name.clone(), why.clone()));
        }
        let chosen: Vec<_> =
            self.ready.iter().filter(|list| wanted(&list.version().used.name)).cloned().collect();
        if chosen.is_empty() { Err(AmlError::NoLists) } else { Ok(chosen) }
    }
}
