use http::{Method, StatusCode};
use portcullis_identity::GroupSpec;
use portcullis_store::groups::{self, Group, Member};
use portcullis_types::{Id, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, nothing, ok},
};

const GROUPS: &str = "/api/admin/v1/groups";
const GROUP: &str = "/api/admin/v1/groups/{id}";
const MEMBERS: &str = "/api/admin/v1/groups/{id}/members";
const MEMBER: &str = "/api/admin/v1/groups/{id}/members/{user}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(Method::GET, GROUPS, Admin, "List groups", list)
            .paged()
            .returns::<Page<GroupView>>(ok),
        Endpoint::new(Method::POST, GROUPS, Admin, "Make a group", create)
            .takes::<GroupInput>()
            .returns::<GroupView>(StatusCode::CREATED),
        Endpoint::new(Method::GET, GROUP, Admin, "One group", show).returns::<GroupView>(ok),
        Endpoint::new(Method::PUT, GROUP, Admin, "Change a group; tokens follow at once", update)
            .takes::<GroupInput>()
            .returns::<GroupView>(ok),
        Endpoint::new(Method::DELETE, GROUP, Admin, "Remove a group; its members stay", delete)
            .returns_nothing(),
        Endpoint::new(Method::GET, MEMBERS, Admin, "List the members of a group", members)
            .paged()
            .returns::<Page<MemberView>>(ok),
        Endpoint::new(Method::PUT, MEMBER, Admin, "Put an account into a group", add)
            .returns_nothing(),
        Endpoint::new(Method::DELETE, MEMBER, Admin, "Take an account out of a group", remove)
            .returns_nothing(),
    ]
}

#[derive(Debug, Serialize, ToSchema)]
struct GroupView {
    id: String,
    name: String,
    description: String,
    roles: Vec<String>,
    /// RFC 3339.
    created_at: String,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            id: group.id.to_string(),
            name: group.name,
            description: group.description,
            roles: group.roles.split_terminator(' ').map(str::to_owned).collect(),
            created_at: group.created_at.to_rfc3339(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct MemberView {
    id: String,
    username: String,
    /// RFC 3339.
    added_at: String,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            id: member.account_id.to_string(),
            username: member.username,
            added_at: member.added_at.to_rfc3339(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupInput {
    /// As tokens have it in `groups`.
    name: String,
    #[serde(default)]
    description: String,
    /// Roles of its members; never `admin`.
    #[serde(default)]
    roles: Vec<String>,
}

impl From<GroupInput> for GroupSpec {
    fn from(input: GroupInput) -> Self {
        let GroupInput { name, description, roles } = input;
        Self { name, description, roles }
    }
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::Group>>()?;
    let rows = groups::page(&api.identity.db, &api.identity.tenant, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), GroupView::from))
}

async fn create(api: Api, call: Call) -> Reply {
    let spec = call.json::<GroupInput>()?.into();
    let made = api.identity.create_group(&spec, &call.caller.actor, &call.origin).await?;
    created(GroupView::from(made))
}

async fn show(api: Api, call: Call) -> Reply {
    let group = groups::by_id(&api.identity.db, &api.identity.tenant, call.id()?).await?;
    ok(GroupView::from(group.ok_or(ApiError::NotFound)?))
}

async fn update(api: Api, call: Call) -> Reply {
    let spec = call.json::<GroupInput>()?.into();
    let (by, origin) = (&call.caller.actor, &call.origin);
    ok(GroupView::from(api.identity.update_group(call.id()?, &spec, by, origin).await?))
}

async fn delete(api: Api, call: Call) -> Reply {
    api.identity.delete_group(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}

async fn members(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::User>>()?;
    let (db, tenant, id) = (&api.identity.db, &api.identity.tenant, call.id()?);
    groups::by_id(db, tenant, id).await?.ok_or(ApiError::NotFound)?;
    let rows = groups::members(db, tenant, id, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.account_id.to_string(), MemberView::from))
}

async fn add(api: Api, call: Call) -> Reply {
    set_member(api, call, true).await
}

async fn remove(api: Api, call: Call) -> Reply {
    set_member(api, call, false).await
}

async fn set_member(api: Api, call: Call, member: bool) -> Reply {
    let user = call.path.get("user").and_then(|text| text.parse().ok());
    let user = user.ok_or(ApiError::NotFound)?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    api.identity.set_member(call.id()?, user, member, by, origin).await?;
    nothing()
}
