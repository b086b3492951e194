//! Pictures of a licence: as drawn, as photographed, turned, out of focus, dark, and none.
#![allow(missing_docs, clippy::unwrap_used, clippy::allow_attributes, reason = "tests")]

use portcullis_capture::{PICTURE_MAX_BYTES, Photo, Picture, Quality, Unusable, pdf417};

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

/// 40 by 32 pixels of known colours.
fn is_drawn(photo: &Photo, grey: bool, off: u8) -> bool {
    let pixels = (0u16..32).flat_map(|y| (0u16..40).map(move |x| (x, y)));
    let drawn = pixels.map(|(x, y)| match grey {
        true => [x * 6; 3],
        false => [x * 6, y * 8, (x + y) * 3],
    });
    let near = |one: u8, two: u16| u16::from(one).abs_diff(two) <= u16::from(off);
    (photo.width(), photo.height()) == (40, 32)
        && photo
            .rgb()
            .chunks_exact(3)
            .zip(drawn)
            .all(|(one, two)| one.iter().zip(two).all(|(one, two)| near(*one, two)))
}

#[test]
fn portraits_of_chips_are_decoded_to_the_pixel() {
    for (name, bytes, grey) in [
        ("in boxes", &include_bytes!("../colours.jp2")[..], false),
        ("without", include_bytes!("../colours.j2k"), false),
        ("grey", include_bytes!("../grey.jp2"), true),
    ] {
        assert!(is_drawn(&Photo::portrait(bytes).unwrap(), grey, 0), "{name}");
        for cut in [3, 20, 41, bytes.len() / 2] {
            // Less of it may still be a picture, and never harms.
            drop(Photo::portrait(&bytes[..cut]));
        }
    }
    assert_eq!(Photo::portrait(DRAWN).unwrap().rgb(), Photo::decode(DRAWN).unwrap().rgb());
    let again = Photo::portrait(include_bytes!("../colours.jp2")).unwrap().to_jpeg().unwrap();
    assert!(is_drawn(&Photo::portrait(&again).unwrap(), false, 24), "as it is kept");
}

#[test]
fn portraits_have_limits() {
    let good = include_bytes!("../colours.j2k");
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.to_vec();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        Photo::portrait(&bad).err()
    };
    // Sides of four billion, and of 60,000 by 60,000; then 500 and no channels.
    assert!(with(8, &[0xff; 8]).is_some());
    assert!(with(8, &[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]).is_some());
    assert_eq!(with(40, &[1, 0xf4]), Some(Unusable::TooLarge));
    assert_eq!(with(40, &[0, 0]), Some(Unusable::TooLarge));
    // Tiles of one pixel, of which there would be more than a thousand, and points that stand for many.
    assert_eq!(with(24, &[0, 0, 0, 1, 0, 0, 0, 1]), Some(Unusable::TooLarge));
    assert_eq!(with(43, &[255]), Some(Unusable::TooLarge));
    // COD follows: ten thousand layers, 30 levels, blocks of two pixels.
    let cod = good.windows(2).position(|two| two == [0xff, 0x52]).unwrap();
    assert_eq!(with(cod + 6, &[0x27, 0x10]), Some(Unusable::TooLarge));
    assert_eq!(with(cod + 9, &[30]), Some(Unusable::TooLarge));
    assert_eq!(with(cod + 10, &[15]), Some(Unusable::TooLarge));
    // Precincts are promised that are not there; the decoder would read them from what follows.
    assert_eq!(with(cod + 4, &[1]), Some(Unusable::TooLarge));
    // Other markers than portraits have: changes of order, headers elsewhere, styles of one channel, or none at all.
    for marker in [0x5f, 0x60, 0x61, 0x53, 0x30, 0x3f, 0x52] {
        let mut bad = good.to_vec();
        bad.splice(cod..cod, [0xff, marker, 0, 4, 0, 0]);
        assert_eq!(Photo::portrait(&bad).err(), Some(Unusable::TooLarge), "{marker:x}");
        let part = good.windows(2).position(|two| two == [0xff, 0x93]).unwrap();
        let mut bad = good.to_vec();
        bad.splice(part..part, [0xff, marker, 0, 4, 0, 0]);
        assert_eq!(Photo::portrait(&bad).err(), Some(Unusable::TooLarge), "{marker:x} in a part");
    }
    // A comment is left out.
    let mut told = good.to_vec();
    told.splice(cod..cod, [0xff, 0x64, 0, 6, 0, 1, 0x68, 0x69]);
    assert!(is_drawn(&Photo::portrait(&told).unwrap(), false, 0));
    // What is cut at its end is decoded as far as it goes.
    assert!(Photo::portrait(&good[..good.len() - 20]).is_ok());
    assert_eq!(Photo::portrait(b"GIF89a").err(), Some(Unusable::Format));
    assert_eq!(Photo::portrait(&[0, 0, 0, 1, 0, 0, 0, 0]).err(), Some(Unusable::Format));
    assert_eq!(Photo::portrait(&vec![0; PICTURE_MAX_BYTES + 1]).err(), Some(Unusable::TooLong));
}

/// The same JPEG as of a camera that was held like this (Exif 2.3, orientation).
fn held(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff = [
        b"MM\0*",
        &[0, 0, 0, 8, 0, 1][..],
        &[1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0],
        &[0; 4],
    ]
    .concat();
    let length = u16::try_from(2 + 6 + tiff.len()).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, b"Exif\0\0", &tiff, &jpeg[2..]].concat()
}

#[test]
fn pictures_stand_as_the_camera_was_held() {
    // Black on its left half.
    let rgb = (0..16).flat_map(|_| (0..32u8).flat_map(|x| [if x < 16 { 0 } else { 255 }; 3]));
    let jpeg = Photo::from_rgb(32, 16, rgb.collect()).unwrap().to_jpeg().unwrap();
    let first = |photo: &Photo| photo.rgb()[0] > 128;
    let plain = Photo::decode(&jpeg).unwrap();
    assert_eq!((plain.width(), plain.height(), first(&plain)), (32, 16, false));
    for (orientation, expected) in [
        (1, (32, 16, false)),
        (3, (32, 16, true)),
        (6, (16, 32, false)),
        (8, (16, 32, true)),
        (77, (32, 16, false)),
    ] {
        let photo = Photo::decode(&held(&jpeg, orientation)).unwrap();
        assert_eq!((photo.width(), photo.height(), first(&photo)), expected, "{orientation}");
        // And nothing of that is kept.
        let kept = photo.to_jpeg().unwrap();
        assert!(!kept.windows(4).any(|part| part == b"Exif"));
    }
}
