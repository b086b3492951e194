//! Barcodes, by `rxing`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rxing::{
    BinaryBitmap, DecodeHints, Luma8LuminanceSource, Reader, common::HybridBinarizer,
    pdf417::PDF417Reader,
};

use crate::Picture;

/// Pixels of the longer side at which a barcode is looked for first.
const SIDE: u32 = 2_000;

/// The same where the picture has to be tilted, which takes a while.
const TILTED_SIDE: u32 = 1_200;

/// Degrees by which a card may lie askew; the reader itself takes two.
const TILTS: [f64; 8] = [0.0, 4.0, -4.0, 8.0, -8.0, 12.0, -12.0, 16.0];

/// What stands in the PDF417 of a picture, if there is one that can be read. Each character is a byte of it.
pub fn pdf417(picture: &Picture) -> Option<Vec<u8>> {
    let large = picture.at_most(SIDE);
    read(&large).or_else(|| read(&large.turned())).or_else(|| {
        let small = picture.at_most(TILTED_SIDE);
        let turned = small.turned();
        TILTS
            .into_iter()
            .find_map(|tilt| read(&small.tilted(tilt)).or_else(|| read(&turned.tilted(tilt))))
    })
}

fn read(picture: &Picture) -> Option<Vec<u8>> {
    let source =
        Luma8LuminanceSource::new(picture.luma.clone(), picture.width, picture.height).ok()?;
    let mut bitmap = BinaryBitmap::new(HybridBinarizer::new(source));
    let hints = DecodeHints {
        TryHarder: Some(true),
        CharacterSet: Some("ISO-8859-1".to_owned()),
        ..DecodeHints::default()
    };
    // A picture is hostile, and the reader was written for pictures that are not.
    let read =
        catch_unwind(AssertUnwindSafe(|| PDF417Reader.decode_with_hints(&mut bitmap, &hints)));
    let text = read.ok()?.ok()?;
    text.getText().chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}
