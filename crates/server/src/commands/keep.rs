//! The directory in which a workload keeps its certificate. What belongs together is behind one link,
//! so that whoever reads sees the old files or the new ones, also after a crash.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use portcullis_pki::lifetime;
use portcullis_types::{Secret, Timestamp, random_array};

use crate::system;

/// The link to what is in force.
const CURRENT: &str = "..current";
/// The key of a request whose answer has not come.
const PENDING: &str = "..pending.pem";
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;
const FILES: [&str; 3] = ["key.pem", "cert.pem", "ca.pem"];

/// A directory with a certificate, its key and the roots.
pub struct Keep(PathBuf);

/// What is in it.
pub struct Held {
    pub chain: String,
    pub key: String,
    pub roots: String,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
}

impl Keep {
    /// Opens or makes it. Files of somebody else in their places are not touched.
    pub fn open(dir: &Path) -> Result<Self> {
        create(dir)?;
        for name in FILES {
            let path = dir.join(name);
            let own = fs::read_link(&path).is_ok_and(|to| to == Path::new(CURRENT).join(name));
            ensure!(
                own || fs::symlink_metadata(&path).is_err(),
                "{} was put there by somebody else: give a directory of its own",
                path.display()
            );
        }
        Ok(Self(dir.to_owned()))
    }

    /// The certificate in it, if it is one of ours and not over.
    pub fn held(&self) -> Option<Held> {
        let read = |name, mode| own(&self.0.join(CURRENT).join(name), mode);
        let (key, chain) = (read("key.pem", SECRET)?, read("cert.pem", PUBLIC)?);
        let roots = read("ca.pem", PUBLIC)?;
        let (issued_at, not_after) = lifetime(&chain)?;
        let now = system::clock().now();
        (not_after > now).then_some(Held { chain, key, roots, issued_at, not_after })
    }

    /// The roots of the last time, even if the certificate is over.
    pub fn roots(&self) -> Option<String> {
        own(&self.0.join(CURRENT).join("ca.pem"), PUBLIC)
    }

    /// The key of a request that may have been answered without us; whoever asks again with it gets
    /// the same answer.
    pub fn pending(&self) -> Option<Secret<String>> {
        own(&self.0.join(PENDING), SECRET).map(Secret::new)
    }

    /// Writes down the key of a request, before it is sent.
    pub fn set_pending(&self, key: &Secret<String>) -> Result<()> {
        replace(&self.0.join(PENDING), key.expose().as_bytes(), SECRET)
    }

    /// Puts a certificate, its key and the roots in the place of those before.
    pub fn store(&self, chain: &str, key: &Secret<String>, roots: &str) -> Result<()> {
        let name = format!("..{}", unique());
        let dir = self.0.join(&name);
        fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        replace(&dir.join("key.pem"), key.expose().as_bytes(), SECRET)?;
        replace(&dir.join("cert.pem"), chain.as_bytes(), PUBLIC)?;
        replace(&dir.join("ca.pem"), roots.as_bytes(), PUBLIC)?;
        self.link(Path::new(&name), CURRENT)?;
        for file in FILES {
            if fs::symlink_metadata(self.0.join(file)).is_err() {
                self.link(&Path::new(CURRENT).join(file), file)?;
            }
        }
        let _ = fs::remove_file(self.0.join(PENDING));
        self.sweep(OsStr::new(&name));
        Ok(())
    }

    /// Puts a link in the place of another.
    fn link(&self, to: &Path, name: &str) -> Result<()> {
        let (temporary, place) = (self.0.join(format!("..{}.link", unique())), self.0.join(name));
        let linked = symlink(to, &temporary).and_then(|()| fs::rename(&temporary, &place));
        linked.with_context(|| format!("write {}", place.display()))
    }

    /// Removes directories of this kind that nothing leads to: they hold keys. What is called
    /// otherwise, or is a link, is not ours.
    fn sweep(&self, current: &OsStr) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_prefix("..")).unwrap_or_default();
            let ours = hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if ours && is_dir && name != current {
                for file in FILES {
                    let _ = fs::remove_file(entry.path().join(file));
                }
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// What is in a file that this user wrote, and that others can do no more with than `mode` says.
/// Whoever else can write in the directory must not choose whom we trust, or which key is ours.
fn own(path: &Path, mode: u32) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let found = file.metadata().ok()?;
    let ours = found.is_file()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o777 & !mode == 0;
    let mut text = String::new();
    ours.then(|| file.read_to_string(&mut text).ok()).flatten()?;
    Some(text)
}

/// 16 hexadecimal digits.
fn unique() -> String {
    HEXLOWER.encode(&random_array::<8>(&*system::entropy()))
}

pub fn create(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))
}

/// Writes a file with this mode under another name and puts it in its place: what was there, and
/// whatever a link there leads to, is never written into.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let temporary = path.with_file_name(format!("..{name}.{}", unique()));
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
    let written = file
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("write {}", path.display()))
}
