//! Pictures of a licence: as drawn, as photographed, turned, out of focus, dark, and none.
#![allow(missing_docs, clippy::unwrap_used, clippy::allow_attributes, reason = "tests")]

use portcullis_capture::{PICTURE_MAX_BYTES, Picture, Quality, Unusable, pdf417};

const DRAWN: &[u8] = include_bytes!("../licence.png");
const PHOTO: &[u8] = include_bytes!("../photo.jpg");
const TURNED: &[u8] = include_bytes!("../turned.jpg");
const BLURRED: &[u8] = include_bytes!("../blurred.jpg");
const DARK: &[u8] = include_bytes!("../dark.jpg");
const PAYLOAD: &[u8] = include_bytes!("../../../documents/tests/licence.txt");

fn picture(bytes: &[u8]) -> Picture {
    Picture::decode(bytes).unwrap()
}

#[test]
fn barcodes_are_read_byte_by_byte() {
    for (name, bytes) in [("drawn", DRAWN), ("photo", PHOTO), ("turned", TURNED), ("dark", DARK)] {
        assert_eq!(pdf417(&picture(bytes)).as_deref(), Some(PAYLOAD), "{name}");
    }
}

#[test]
fn what_has_no_barcode_has_none() {
    assert_eq!(pdf417(&picture(BLURRED)), None);
    for shade in [0, 128, 255] {
        let plain = Picture { width: 300, height: 200, luma: vec![shade; 60_000] };
        assert_eq!(pdf417(&plain), None);
    }
    let one = Picture { width: 1, height: 1, luma: vec![0] };
    assert_eq!(pdf417(&one), None);
}

#[test]
fn quality_is_what_can_be_measured() {
    let [photo, blurred, dark] = [PHOTO, BLURRED, DARK].map(|bytes| Quality::of(&picture(bytes)));
    assert!(photo.sharpness > 20.0 * blurred.sharpness, "{photo:?} {blurred:?}");
    assert!(dark.brightness < 0.15 && photo.brightness > 0.4, "{dark:?} {photo:?}");
    let white = Quality::of(&Picture { width: 10, height: 10, luma: vec![255; 100] });
    let ideal = (1.0, 0.0, 1.0, 0.0);
    assert_eq!((white.brightness, white.contrast, white.saturated, white.sharpness), ideal);
    // By hand: one white pixel in black has 255 around it four times and -1,020 on it.
    let mut luma = vec![0; 25];
    luma[12] = 255;
    let dot = Quality::of(&Picture { width: 5, height: 5, luma });
    let squares = 4.0 * 255.0f64.powi(2) + 1020.0f64.powi(2);
    assert!((dot.sharpness - squares / 9.0).abs() < 1e-6, "{dot:?}");
}

#[test]
fn pictures_have_limits() {
    let refused = |bytes: &[u8]| Picture::decode(bytes).err();
    assert_eq!(refused(b""), Some(Unusable::Format));
    assert_eq!(refused(b"GIF89a\x01\0\x01\0"), Some(Unusable::Format));
    assert_eq!(refused(&vec![0; PICTURE_MAX_BYTES + 1]), Some(Unusable::TooLong));
    assert_eq!(refused(&DRAWN[..500]), Some(Unusable::Damaged));
    // A header that promises two billion pixels.
    let mut bomb = DRAWN.to_vec();
    bomb[16..24].copy_from_slice(&[0, 0, 0xb0, 0, 0, 0, 0xb0, 0]);
    assert!(matches!(refused(&bomb), Some(Unusable::TooLarge | Unusable::Damaged)));
}
