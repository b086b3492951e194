//! Texts as pictures for a phone.

use data_encoding::BASE64;
use qrcode::{EcLevel, QrCode, render::svg};

/// A text as a picture (QR code), for the `src` of an image; none if it is too long for one.
pub(crate) fn picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let drawn = code.render::<svg::Color<'_>>().build();
    Some(format!("data:image/svg+xml;base64,{}", BASE64.encode(drawn.as_bytes())))
}
