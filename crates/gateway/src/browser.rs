//! Requests that a browser's session speaks for.

use http::{HeaderMap, Request, header};
use portcullis_events::Origin;
use portcullis_types::{ClientAddr, Timestamp};

use crate::{
    answer::Refusal,
    authn::{AuthKind, Principal, shows_api_key},
    bearer::verify,
    guard::Head,
    pipeline::Gateway,
    record::Trail,
    session::{self, Sessions},
    snapshot::{Route, Snapshot},
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
        session::same_origin(request, head)?;
        if let Ok(claims) = verify(snapshot, &self.shared, route, &tokens.a, now).await {
            return Ok(Principal::Token(claims));
        }
        // Explaining must not use a refresh token up.
        let counts = trail.steps.is_none();
        let origin = Origin::new(addr, "-".to_owned(), None);
        let renewed = if counts { sessions.renew(&tokens, &origin, now).await } else { None };
        if let Some(tokens) = renewed
            && let Ok(claims) = verify(snapshot, &self.shared, route, &tokens.a, now).await
        {
            trail.cookies.extend(sessions.keep(head, &tokens));
            return Ok(Principal::Token(claims));
        }
        trail.cookies.extend(Sessions::forget());
        if route.is_open() {
            Ok(Principal::Anonymous)
        } else {
            Err(sessions.log_in(request, head, now))
        }
    }
}

/// Whether it is the session that says who is calling: the route takes one, and nothing else that it
/// takes is shown.
pub(crate) fn by_session(route: &Route, headers: &HeaderMap) -> bool {
    let takes = |kind| route.authenticate.contains(&kind);
    takes(AuthKind::Session)
        && !(takes(AuthKind::Bearer) && headers.contains_key(header::AUTHORIZATION))
        && !(takes(AuthKind::ApiKey) && shows_api_key(headers))
}
