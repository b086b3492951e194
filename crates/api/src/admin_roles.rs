//! Who may do what by their role: what a review of access begins with.

use http::{Method, StatusCode};
use portcullis_store::roles::{self, RoleHolder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

/// Two ids.
const MAX_CURSOR_BYTES: usize = 80;
const MAX_ROLE_BYTES: usize = 64;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/roles",
            Admin,
            "Who has which roles, by themselves or through a group; ?role= of one role",
            list,
        )
        .paged()
        .query(&["role"])
        .returns::<Page<RoleHolderView>>(StatusCode::OK),
    ]
}

/// Somebody with roles. Whoever has some from several sources comes several times.
#[derive(Debug, Serialize, ToSchema)]
struct RoleHolderView {
    account: String,
    username: String,
    disabled: bool,
    roles: Vec<String>,
    /// The id of the group that gives them; left out if they are the account's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group_name: String,
}

impl From<RoleHolder> for RoleHolderView {
    fn from(row: RoleHolder) -> Self {
        Self {
            account: row.account_id,
            username: row.username,
            disabled: row.disabled_at.is_some(),
            roles: row.roles.split_terminator(' ').map(str::to_owned).collect(),
            group: row.group_id,
            group_name: row.group_name,
        }
    }
}

async fn list(api: Api, call: Call) -> Reply {
    let role = call.query.get("role").unwrap_or_default().to_owned();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if role.len() > MAX_ROLE_BYTES || !role.bytes().all(letter) {
        return Err(ApiError::Parameter("role"));
    }
    let (after, limit) = call.page_after("after", MAX_CURSOR_BYTES)?;
    let after = after.split_once('.').unwrap_or((&after, ""));
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = roles::holders(db, tenant, &role, after, limit).await?;
    let cursor = |row: &RoleHolder| format!("{}.{}", row.account_id, row.group_id);
    ok(Page::of(rows, limit, cursor, RoleHolderView::from))
}
