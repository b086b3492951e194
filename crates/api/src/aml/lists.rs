use http::{Method, StatusCode};
use portcullis_verification::ListVersion;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Aml, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/idv/v1/aml/lists", Aml, "Lists and their versions", list)
            .returns::<Page<ScreeningListView>>(StatusCode::OK),
    ]
}

/// A list as this node has it.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ScreeningListView {
    name: String,
    /// Whether it can be searched; a screening that needs one that cannot is refused.
    usable: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    /// SHA-256 of its entities.
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    format: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    imported: String,
    /// As its publisher says.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<String>,
    entities: usize,
    /// Entities that the version before did not have.
    added: usize,
    /// Entities that are not what they were.
    changed: usize,
    /// Entities that only the version before had.
    removed: usize,
    /// Records that were malformed and left out.
    skipped: usize,
}

impl From<&ListVersion> for ScreeningListView {
    fn from(version: &ListVersion) -> Self {
        let version = version.clone();
        Self {
            name: version.used.name,
            usable: true,
            version: version.used.version,
            digest: version.used.digest,
            source: version.source,
            format: version.format,
            imported: version.imported,
            published: version.published,
            entities: version.entities,
            added: version.added,
            changed: version.changed,
            removed: version.removed,
            skipped: version.skipped,
        }
    }
}

async fn list(api: Api, _: Call) -> Reply {
    let lists = api.aml.lists();
    let broken = lists.broken.iter();
    let broken = broken
        .map(|(name, _)| ScreeningListView { name: name.clone(), ..ScreeningListView::default() });
    let ready = lists.ready.iter().map(|list| ScreeningListView::from(list.version()));
    let mut items: Vec<ScreeningListView> = ready.chain(broken).collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    ok(Page { items, next: None })
}
