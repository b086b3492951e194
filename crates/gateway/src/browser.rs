//! Requests that a browser's session speaks for.

use http::{HeaderMap, Request, header};
use portcullis_events::Origin;
use portcullis_types::{ClientAddr, Timestamp};

use crate::{
    answer::Refusal,
    authn::{AuthKind, Principal, shows_api_key},
    authz::proven_enough,
    bearer::verify,
    guard::Head,
    pipeline::Gateway,
    record::Trail,
    same_origin::{same_origin, strictly_same_origin},
    session::Sessions,
    session_kind::SessionKind,
    snapshot::{Route, Snapshot, StepUp},
};

impl Gateway {
    /// Whoever is behind a browser's session. Tokens whose time is over are exchanged for new ones.
    #[expect(clippy::too_many_arguments, reason = "the stages' own state, passed on as it is")]
    pub(crate) async fn session<B>(
        &self,
        snapshot: &Snapshot,
        sessions: &Sessions,
        route: &Route,
        request: &Request<B>,
        head: &Head,
        (addr, now): (ClientAddr, Timestamp),
        trail: &mut Trail,
    ) -> Result<Principal, Refusal> {
        let Some(tokens) = sessions.shown(request.headers(), head) else {
            return if route.is_open() {
                Ok(Principal::Anonymous)
            } else {
                Err(sessions.log_in(request, head, now))
            };
        };
        // Pages are read by whoever follows a link; what an API tells is for the console's own scripts.
        if route.authenticate.contains(&AuthKind::Bearer) && sessions.kind == SessionKind::Console {
            strictly_same_origin(request, head)?;
        } else {
            same_origin(request, head)?;
        }
        if let Ok(claims) = verify(snapshot, &self.shared, route, &tokens.a, now).await {
            return fresh(route, Principal::Token(claims), now);
        }
        // What anybody may have can be kept by others on the way: no cookie may be with it.
        if route.is_open() && sessions.kind == SessionKind::Console {
            return Ok(Principal::Anonymous);
        }
        // Explaining must not use a refresh token up.
        let counts = trail.steps.is_none();
        let origin = Origin::new(addr, "-".to_owned(), None);
        let renewed = if counts { sessions.renew(&tokens, &origin, now).await } else { None };
        if let Some(tokens) = renewed
            && let Ok(claims) = verify(snapshot, &self.shared, route, &tokens.a, now).await
        {
            trail.cookies.extend(sessions.keep(head, &tokens));
            return fresh(route, Principal::Token(claims), now);
        }
        // The console's is worth nothing any more, and a newer one may be on its way to the browser.
        if sessions.kind == SessionKind::Services {
            trail.cookies.extend(sessions.forget());
        }
        if route.is_open() {
            Ok(Principal::Anonymous)
        } else {
            Err(sessions.log_in(request, head, now))
        }
    }
}

/// What cannot be taken back needs more than a cookie: somebody who was there a moment ago.
fn fresh(route: &Route, who: Principal, now: Timestamp) -> Result<Principal, Refusal> {
    if let Some(most) = route.fresh_session {
        proven_enough(&StepUp { acr_values: vec![], max_age: Some(most) }, &who, now)?;
    }
    Ok(who)
}

/// The session that says who is calling: the route takes one, and nothing else that it takes is shown.
pub(crate) fn by_session<'a>(
    sessions: &'a [Sessions],
    route: &Route,
    request: &HeaderMap,
    head: &Head,
) -> Option<&'a Sessions> {
    let takes = |kind| route.authenticate.contains(&kind);
    if (takes(AuthKind::Bearer) && request.contains_key(header::AUTHORIZATION))
        || (takes(AuthKind::ApiKey) && shows_api_key(request))
    {
        return None;
    }
    let one = sessions.iter().find(|one| takes(AuthKind::Session(one.kind)))?;
    // Programs without a credential hear of tokens, as if there were no console.
    let expects = one.kind == SessionKind::Services || !takes(AuthKind::Bearer);
    (expects || one.shown(request, head).is_some()).then_some(one)
}
