//! What the build made, by name.

use std::collections::HashMap;

mod built {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    No,
    Brotli,
}

/// A file as it is sent.
pub(crate) struct Found {
    pub kind: &'static str,
    pub packed: Packed,
    pub bytes: &'static [u8],
}

/// The page and what it loads.
pub(crate) struct Files(HashMap<&'static str, &'static [u8]>);

impl Files {
    pub fn built_in() -> Self {
        Self::of(built::FILES)
    }

    pub fn of(files: &[(&'static str, &'static [u8])]) -> Self {
        Self(files.iter().copied().collect())
    }

    /// The page, if there is one.
    pub fn page(&self) -> Option<&'static str> {
        std::str::from_utf8(self.0.get("index.html")?).ok()
    }

    /// A file of `assets`, packed if the browser takes it so.
    pub fn asset(&self, name: &str, accepts: &str) -> Option<Found> {
        let kind = kind(name)?;
        let name = format!("assets/{name}");
        let plain = *self.0.get(name.as_str())?;
        let packed = self.0.get(format!("{name}.br").as_str()).filter(|_| takes_brotli(accepts));
        Some(match packed {
            Some(bytes) => Found { kind, packed: Packed::Brotli, bytes },
            None => Found { kind, packed: Packed::No, bytes: plain },
        })
    }
}

/// RFC 9110, section 12.5.3, as far as it matters: `br` is there, and not refused.
fn takes_brotli(accepts: &str) -> bool {
    accepts.split(',').any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused =
            weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
        coding.trim().eq_ignore_ascii_case("br") && !refused
    })
}

fn kind(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript",
        "css" => "text/css",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => return None,
    })
}
