//! A sample service: everybody's own profile, kept in memory. It knows nothing of passwords,
//! sessions or rate limits; the gate does all that, and the layer below checks that it did.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own reads its environment and clock"
)]
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use portcullis_resource_server::{AccessClaims, ResourceServer, ResourceServerLayer};
use portcullis_types::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preferences {
    #[serde(default)]
    nickname: String,
    #[serde(default)]
    language: String,
}

type Profiles = Arc<Mutex<HashMap<String, Preferences>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let listen = variable("LISTEN", "127.0.0.1:7001");
    let issuer = variable("ISSUER", "https://localhost:8443");
    let ca = std::fs::read_to_string(variable("CA_FILE", "portcullis-data/ca.pem"))?;
    let server = ResourceServer::new(&issuer, "profile", Some(&ca), Arc::new(SystemClock))?;
    let protected = Router::new()
        .route("/profile/me", get(show).patch(change))
        .route("/profile/echo/{*rest}", get(echo))
        .layer(ResourceServerLayer::new(server))
        .with_state(Profiles::default());
    let app = protected.route("/healthz", get(|| async { "ok\n" }));
    let socket = tokio::net::TcpListener::bind(&listen).await?;
    println!("profile-service listens on {listen}");
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(axum::serve(socket, app).with_graceful_shutdown(stop).await?)
}

async fn show(
    State(profiles): State<Profiles>,
    Extension(claims): Extension<AccessClaims>,
) -> Json<Value> {
    let profiles = profiles.lock().unwrap_or_else(PoisonError::into_inner);
    let preferences = profiles.get(&claims.sub).cloned().unwrap_or_default();
    Json(json!({
        "subject": claims.sub,
        "username": claims.preferred_username,
        "client": claims.client_id,
        "preferences": preferences,
    }))
}

async fn change(
    State(profiles): State<Profiles>,
    Extension(claims): Extension<AccessClaims>,
    Json(preferences): Json<Preferences>,
) -> (StatusCode, Json<Preferences>) {
    let mut profiles = profiles.lock().unwrap_or_else(PoisonError::into_inner);
    profiles.insert(claims.sub, preferences.clone());
    (StatusCode::OK, Json(preferences))
}

/// What arrived here, to see what the gate lets through.
async fn echo(Path(rest): Path<String>, headers: axum::http::HeaderMap) -> Json<Value> {
    let fields: HashMap<String, String> = headers
        .iter()
        .filter(|(name, _)| *name != "authorization")
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    Json(json!({ "path": rest, "headers": fields }))
}
