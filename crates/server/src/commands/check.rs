use std::process::ExitCode;

use anyhow::{Context, Result};
use portcullis_pki::Authority;
use portcullis_types::Secret;

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
    let clock = system::clock();
    let made = Authority::create("check", clock.now())?;
    let material = portcullis_pki::AuthorityMaterial {
        certificate_pem: made.certificate_pem,
        key_pem: Secret::new(made.key_pem.expose().clone()),
    };
    crate::parts::theme(&config)?;
    crate::parts::staff_devices(&config)?;
    let (authority, entropy) = (Authority::load(&material)?, system::entropy());
    let egress = crate::app::egress(&config)?;
    let gate = Gate::build(config, &authority, &clock, &entropy, &egress, None)?;
    let none = || routes::BuiltIn {
        oidc: axum::Router::new(),
        pages: axum::Router::new(),
        api: axum::Router::new(),
    };
    let all = routes::all(&gate, none())?;
    let count = all.len();
    routes::check_table(all).context("the routes contradict each other")?;
    say(&format!("{} is sound: {count} routes", place.config.display()));
    Ok(ExitCode::SUCCESS)
}
