use http::{Method, StatusCode};
use portcullis_identity::{FieldError, NewInvitation};
use portcullis_store::invitations::{self, Invitation};
use portcullis_types::{Id, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, nothing, ok},
};

const INVITATIONS: &str = "/api/admin/v1/invitations";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, INVITATIONS, Admin, "List invitations", list)
            .paged()
            .returns::<Page<InvitationView>>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            INVITATIONS,
            Admin,
            "Invite an address; what was sent to it before is void",
            create,
        )
        .takes::<NewInvitationInput>()
        .returns::<InvitationView>(StatusCode::CREATED),
        Endpoint::new(
            Method::DELETE,
            "/api/admin/v1/invitations/{id}",
            Admin,
            "Withdraw an invitation that nobody has accepted",
            withdraw,
        )
        .returns_nothing(),
    ]
}

#[derive(Debug, Serialize, ToSchema)]
struct InvitationView {
    id: String,
    email: String,
    roles: Vec<String>,
    /// Ids.
    groups: Vec<String>,
    invited_by: String,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    expires_at: String,
    accepted: bool,
}

impl From<Invitation> for InvitationView {
    fn from(row: Invitation) -> Self {
        let list = |text: String| text.split_terminator(' ').map(str::to_owned).collect();
        Self {
            id: row.id.to_string(),
            email: row.email,
            roles: list(row.roles),
            groups: list(row.group_ids),
            invited_by: row.invited_by,
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.to_rfc3339(),
            accepted: row.consumed_at.is_some(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewInvitationInput {
    email: String,
    #[serde(default)]
    roles: Vec<String>,
    /// Ids.
    #[serde(default)]
    groups: Vec<String>,
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::Invitation>>()?;
    let rows = invitations::page(&api.identity.db, &api.identity.tenant, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), InvitationView::from))
}

async fn create(api: Api, call: Call) -> Reply {
    let new: NewInvitationInput = call.json()?;
    let groups = new.groups.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let groups = groups.map_err(|_| {
        let message = "must be ids of groups".to_owned();
        ApiError::Invalid(vec![FieldError { field: "groups", message }])
    })?;
    let new = NewInvitation { email: new.email, roles: new.roles, groups };
    let made = api.identity.invite(&new, &call.caller.actor, &call.origin).await?;
    created(InvitationView::from(made))
}

async fn withdraw(api: Api, call: Call) -> Reply {
    let (by, origin) = (&call.caller.actor, &call.origin);
    api.identity.withdraw_invitation(call.id()?, by, origin).await?;
    nothing()
}
