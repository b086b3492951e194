use http::{Method, StatusCode};

use super::report::TrustView;
use crate::{
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/idv/v1/trust",
            Idv,
            "The authorities that documents are verified against, as a version and a digest",
            show,
        )
        .returns::<TrustView>(StatusCode::OK),
    ]
}

async fn show(api: Api, _: Call) -> Reply {
    let used = api.checks.trust_used().await?;
    ok(TrustView::from(&used))
}
