//! A sample service for administrators and back-office programs. The gate lets in only tokens with
//! the scope `admin`, and one workload of the mesh.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own reads its environment and clock"
)]
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::sync::Arc;

use axum::{Extension, Json, Router, routing::get};
use portcullis_resource_server::{AccessClaims, ResourceServer, ResourceServerLayer};
use portcullis_types::{Clock, Timestamp};
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let listen = variable("LISTEN", "127.0.0.1:7002");
    let issuer = variable("ISSUER", "https://localhost:8443");
    let ca = std::fs::read_to_string(variable("CA_FILE", "portcullis-data/ca.pem"))?;
    let server = ResourceServer::new(&issuer, "admin", Some(&ca), Arc::new(SystemClock))?;
    let app = Router::new()
        .route("/admin-service/status", get(status))
        .layer(ResourceServerLayer::new(server))
        .route("/healthz", get(|| async { "ok\n" }));
    let socket = tokio::net::TcpListener::bind(&listen).await?;
    println!("admin-service listens on {listen}");
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(axum::serve(socket, app).with_graceful_shutdown(stop).await?)
}

async fn status(Extension(claims): Extension<AccessClaims>) -> Json<Value> {
    Json(json!({ "status": "all doors are guarded", "caller": claims.sub, "scope": claims.scope }))
}
