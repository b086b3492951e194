use std::process::ExitCode;

use anyhow::{Context, Result};
use portcullis_ca::Identities;

use crate::{Place, commands::say, config::Config, gate::Gate, routes, system};

/// The OpenAPI document as it is published: of an installation that is tried out.
pub fn openapi() -> String {
    let document = portcullis_api::document("https://localhost:8443");
    format!("{document:#}\n")
}

/// Reads the configuration as a start would, as far as that changes nothing.
pub async fn run(place: &Place) -> Result<ExitCode> {
    let config = Config::load(&place.config)?;
    crate::parts::theme(&config)?;
    crate::places::Maps::open(&config)?;
    crate::parts::staff_devices(&config)?;
    let entropy = system::entropy();
    crate::sigma::load(&config, None)?;
    crate::sinks::plan(&config, "log", &system::clock(), &entropy)?;
    crate::traces::client(&config)?;
    crate::screening::settings(&config)?;

    let identities = Identities::ephemeral(system::clock(), entropy.clone())?;
    crate::wallets::certificate(&config, &identities)?;
    let egress = crate::app::egress(&config)?;
    let gate = Gate::build(config, &identities, &entropy, &egress, None)?;
    let none = || routes::BuiltIn {
        oidc: axum::Router::new(),
        pages: axum::Router::new(),
        api: axum::Router::new(),
        matches: axum::Router::new(),
        wallets: axum::Router::new(),
        console: axum::Router::new(),

        pki: axum::Router::new(),
        log: (axum::Router::new(), "node".to_owned()),
    };
    let all = routes::all(&gate, none())?;
    let count = all.len();
    routes::check_table(all).context("the routes contradict each other")?;
    say(&format!("{} is sound: {count} routes", place.config.display()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    /// The console's client is made from the copy in `docs/`; `portcullis check --openapi` writes it.
    #[test]
    fn the_published_description_of_the_apis_is_this_one() {
        let published = include_str!("../../../../docs/openapi.json");
        assert!(published == super::openapi(), "`portcullis check --openapi` writes another one");
    }
}
