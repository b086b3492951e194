//! Texts as pictures for a phone.

use data_encoding::BASE64;
use qrcode::{EcLevel, QrCode, render::svg};

/// Bytes from which a text is long.
const LONG: usize = 160;

/// A text as a picture (QR code), for the `src` of an image; none if it is too long for one.
pub(crate) fn picture(text: &str) -> Option<String> {
    // On a screen nothing is scratched: a long text has rather larger squares.
    let level = if text.len() > LONG { EcLevel::L } else { EcLevel::M };
    let code = QrCode::with_error_correction_level(text, level).ok()?;
    let drawn = code.render::<svg::Color<'_>>().build();
    Some(format!("data:image/svg+xml;base64,{}", BASE64.encode(drawn.as_bytes())))
}
