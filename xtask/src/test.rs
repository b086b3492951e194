use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    console,
    run::{self as tool, cargo, root, target, works},
    tidy,
};

/// Debian packages that the tests use, and a program of each.
const PACKAGES: &[(&str, &str)] = &[
    ("postgresql", "/usr/lib/postgresql/*/bin/initdb"),
    ("curl", "/usr/bin/curl"),
    ("openssl", "/usr/bin/openssl"),
    ("python3-venv", "/usr/bin/python3"),
    ("oathtool", "/usr/bin/oathtool"),
    ("chromium", "/usr/bin/chromium"),
    ("softhsm2", "/usr/bin/softhsm2-util"),
    ("nginx", "/usr/sbin/nginx"),
    ("caddy", "/usr/bin/caddy"),
    ("nghttp2-client", "/usr/bin/h2load"),
    ("slowhttptest", "/usr/bin/slowhttptest"),
    ("testssl.sh", "/usr/bin/testssl"),
    ("apache2-bin", "/usr/sbin/apache2"),
    ("libapache2-mod-auth-openidc", "/usr/lib/apache2/modules/mod_auth_openidc.so"),
    ("rsyslog", "/usr/sbin/rsyslogd"),
    ("rsyslog-gnutls", "/usr/lib/*/rsyslog/lmnsd_gtls.so"),
];

/// The whole suite: rules, lints, unit and integration tests on both databases, and real clients
/// against the real binary.
pub fn run(filter: &[String]) -> Result<()> {
    let begun = Instant::now();
    install()?;
    tidy::run()?;
    dependencies()?;
    console::build()?;
    console::test()?;
    tool::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let postgres = Postgres::start()?;
    let mut tests = cargo(&["test", "--workspace"]);
    tests.args(filter).env("PORTCULLIS_TEST_POSTGRES", postgres.url());
    tool::run(&mut tests).inspect_err(|_| postgres.tell())?;
    tool::run(&mut cargo(&[
        "build",
        "-p",
        "portcullis-server",
        "-p",
        "profile-service",
        "-p",
        "admin-service",
    ]))?;
    clients(&postgres)?;
    drop(postgres);
    println!("everything passed in {} s", begun.elapsed().as_secs());
    Ok(())
}

/// The version whose settings `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Licences, bans and sources of every dependency. Advisories need the network at every run, so
/// they are a command of their own: `cargo deny check advisories`.
fn dependencies() -> Result<()> {
    let tools = target().join("tools");
    let program = text(&tools.join("bin/cargo-deny"));
    if !works(&program, &["--version"]) {
        let version = format!("cargo-deny@{CARGO_DENY}");
        let mut install = cargo(&["install", "--locked", "--debug", "--quiet", "--root"]);
        tool::run(install.arg(&tools).arg(version))?;
    }
    let mut check = Command::new(program);
    tool::run(check.current_dir(root()).args([
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))
}

fn install() -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, program)| !exists(program)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("these Debian packages are missing; install them, or run as root: {missing:?}");
    }
    tool::run(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    tool::run(install.args(["install", "-yq", "--no-install-recommends"]).args(missing))
}

/// What syslog-ng needs, of which a system may have some already.
const SYSLOG_NG: &[&str] =
    &["syslog-ng-core", "libivykis0", "libjson-c5", "libnet1", "libpcre3", "libwrap0"];

/// Where syslog-ng is. It cannot be installed beside rsyslog, so it is only unpacked.
fn syslog_ng() -> Result<PathBuf> {
    let dir = target().join("tools/syslog-ng");
    if !dir.join("usr/sbin/syslog-ng").exists() {
        let packages = dir.join("packages");
        fs::create_dir_all(&packages)?;
        let mut download = Command::new("apt-get");
        tool::run(download.current_dir(&packages).args(["download", "-q"]).args(SYSLOG_NG))?;
        for package in fs::read_dir(&packages)? {
            tool::run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(&dir))?;
        }
    }
    Ok(dir.join("usr"))
}

/// Whether a path exists; a `*` stands for any one name.
fn exists(pattern: &str) -> bool {
    find(pattern).is_some()
}

fn find(pattern: &str) -> Option<PathBuf> {
    let Some((before, after)) = pattern.split_once("/*/") else {
        return Some(PathBuf::from(pattern)).filter(|path| path.exists());
    };
    let entries = fs::read_dir(before).ok()?;
    let candidates = entries.flatten().map(|entry| entry.path().join(after));
    candidates.filter(|path| path.exists()).max()
}

/// A directory that was not there: a run that was killed leaves its own, and ids of processes come again.
fn new_dir() -> Result<PathBuf> {
    let process = std::process::id();
    let names = (0..100).map(|at| format!("portcullis-postgres-{process}-{at}"));
    for dir in names.map(|name| std::env::temp_dir().join(name)) {
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("make a directory for PostgreSQL"),
        }
    }
    bail!("no name is free for the directory of PostgreSQL in {}", std::env::temp_dir().display())
}

/// A PostgreSQL server of our own, thrown away afterwards.
struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    fn start() -> Result<Self> {
        let initdb = find("/usr/lib/postgresql/*/bin/initdb").context("find PostgreSQL")?;
        let bin = initdb.parent().unwrap_or(Path::new("/")).to_owned();
        let dir = new_dir()?;
        // The server refuses to run as root.
        if rustix::process::geteuid().is_root() {
            chown(&dir, Some(postgres_id("-u")?), Some(postgres_id("-g")?))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { dir, bin, port };
        let data = server.dir.join("data");
        server.call(
            "initdb",
            &["-D", &text(&data), "-A", "trust", "-U", "portcullis", "-E", "UTF8"],
        )?;
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off \
             -c max_connections=400",
            server.dir.display()
        );
        let log = text(&server.dir.join("log"));
        server.call("pg_ctl", &["-D", &text(&data), "-o", &options, "-l", &log, "-w", "start"])?;
        Ok(server)
    }

    fn call(&self, program: &str, args: &[&str]) -> Result<()> {
        let program = self.bin.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let output = command.current_dir(&self.dir).args(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { bail!("PostgreSQL: {said}") }
    }

    /// What it said last, and how much room there is: a full disk looks like many other things.
    fn tell(&self) {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("PostgreSQL said last:");
        for line in &lines[lines.len().saturating_sub(20)..] {
            eprintln!("  {line}");
        }
        let _ = Command::new("df").arg("-h").arg(&self.dir).arg(target()).status();
    }

    fn url(&self) -> String {
        format!("postgres://portcullis@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = text(&self.dir.join("data"));
        let _ = self.call("pg_ctl", &["-D", &data, "-m", "immediate", "stop"]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn postgres_id(flag: &str) -> Result<u32> {
    let output = Command::new("id").args([flag, "postgres"]).output()?;
    String::from_utf8(output.stdout)?.trim().parse().context("find the user postgres")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Real clients against the real binary: Python and Node, each with its own packages.
fn clients(postgres: &Postgres) -> Result<()> {
    let dir = root().join("tests/clients");
    let venv = target().join("clients-venv");
    let python = venv.join("bin/python");
    if !works(&text(&python), &["-m", "pytest", "--version"]) {
        tool::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let mut pip = Command::new(&python);
    tool::run(pip.args(["-m", "pip", "install", "-q", "-r"]).arg(dir.join("requirements.txt")))?;
    if works("npm", &["--version"]) {
        tool::run(Command::new("npm").current_dir(&dir).args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--silent",
        ]))?;
    } else {
        bail!("npm is missing: the tests with openid-client need Node 20 or newer");
    }
    let mut pytest = Command::new(&python);
    pytest
        .current_dir(&dir)
        .env("PORTCULLIS_BIN", target().join("debug"))
        .env("PORTCULLIS_TEST_POSTGRES", postgres.url())
        .env("PORTCULLIS_SYSLOG_NG", syslog_ng()?)
        // Two at once, file by file: most of the time each of them waits for servers to start and clocks to pass.
        .args(["-m", "pytest", "-q", "-x", "-n", "2", "--dist", "loadfile", "--durations=5", "."]);
    tool::run(&mut pytest)
}
