use std::{
    net::TcpStream,
    path::PathBuf,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    console,
    run::{self as tool, Running, cargo, target},
};

const TICK: Duration = Duration::from_millis(50);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// `cargo xtask up [-- ARGS]`: builds, starts Portcullis and the sample services, and stops all of
/// them together. `--release` is ours; everything else goes to `portcullis up --demo`.
pub fn run(args: &[String]) -> Result<()> {
    let release = args.iter().any(|arg| arg == "--release");
    let args: Vec<String> = args.iter().filter(|arg| *arg != "--release").cloned().collect();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    console::build()?;
    let mut build = cargo(&[
        "build",
        "-p",
        "portcullis-server",
        "-p",
        "profile-service",
        "-p",
        "admin-service",
    ]);
    if release {
        build.arg("--release");
    }
    tool::run(&mut build)?;
    let bin = target().join(if release { "release" } else { "debug" });
    let data = data_dir(&args);
    let public = std::env::var("PORTCULLIS_PUBLIC_PORT").unwrap_or_else(|_| "8443".into());

    let mut portcullis = Command::new(bin.join("portcullis"));
    portcullis.args(["up", "--demo"]).args(&args);
    let mut running = vec![Running::start("portcullis", &mut portcullis)?];
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(format!("127.0.0.1:{public}")).is_err() {
        if let Some(ended) = running.iter_mut().find_map(Running::ended) {
            bail!("{ended}");
        }
        if signals.pending().next().is_some() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("Portcullis did not start in time");
        }
        sleep(TICK);
    }
    for (name, variable, port) in [
        ("profile-service", "PORTCULLIS_PROFILE_PORT", "7001"),
        ("admin-service", "PORTCULLIS_ADMIN_PORT", "7002"),
    ] {
        let port = std::env::var(variable).unwrap_or_else(|_| port.into());
        let mut service = Command::new(bin.join(name));
        service
            .env("LISTEN", format!("127.0.0.1:{port}"))
            .env("ISSUER", format!("https://localhost:{public}"))
            .env("CA_FILE", data.join("ca.pem"));
        // Services stop first, the gate last: push them behind it and drop from the end.
        running.push(Running::start(name, &mut service)?);
    }
    loop {
        if signals.pending().next().is_some() {
            break;
        }
        if let Some(ended) = running.iter_mut().find_map(Running::ended) {
            while running.pop().is_some() {}
            bail!("{ended}");
        }
        sleep(TICK);
    }
    while running.pop().is_some() {}
    println!("everything is stopped");
    Ok(())
}

fn data_dir(args: &[String]) -> PathBuf {
    let place = args.iter().position(|arg| arg == "--data").and_then(|at| args.get(at + 1));
    let joined = args.iter().find_map(|arg| arg.strip_prefix("--data="));
    place.map(String::as_str).or(joined).unwrap_or("portcullis-data").into()
}
