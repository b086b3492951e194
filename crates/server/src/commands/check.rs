use std::process::ExitCode;

use anyhow::{Context, Result};
use portcullis_ca::Identities;

use crate::{
    Place,
    commands::say,
    config::{self, Config},
    gate::Gate,
    routes, system,
};

/// Reads the configuration as a start would, as far as that changes nothing.
pub async fn run(place: &Place, schema: bool) -> Result<ExitCode> {
    if schema {
        say(config::schema().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
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

        pki: axum::Router::new(),
        log: (axum::Router::new(), "node".to_owned()),
    };
    let all = routes::all(&gate, none())?;
    let count = all.len();
    routes::check_table(all).context("the routes contradict each other")?;
    say(&format!("{} is sound: {count} routes", place.config.display()));
    Ok(ExitCode::SUCCESS)
}
