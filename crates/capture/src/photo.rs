use std::io::Cursor;

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use image::{
    DynamicImage, GrayImage, ImageDecoder, RgbImage, codecs::jpeg::JpegEncoder,
    imageops::FilterType,
};

use crate::{
    codestream::{START, Tame, tame},
    picture::{self, PICTURE_MAX_BYTES, Picture, Unusable},
};

/// Pixels of a picture: more than cameras of phones have at once, and less than machines have room for.
const PIXELS_MAX: u64 = 40_000_000;
/// How well a picture is kept, of a hundred.
const KEPT_QUALITY: u8 = 90;

/// A picture in colours, the way up that whoever took it held the camera.
#[derive(Clone)]
pub struct Photo(RgbImage);

impl Photo {
    /// Decodes a JPEG or PNG. Cameras write beside the picture how they were held; it is turned by that.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        let decoder = picture::reader(bytes)?.into_decoder();
        let mut decoder = decoder.map_err(|error| picture::unusable(&error))?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > PIXELS_MAX {
            return Err(Unusable::TooLarge);
        }
        // What cannot be read is taken as it is.
        let turn = decoder.orientation().ok();
        let decoded = DynamicImage::from_decoder(decoder);
        let mut decoded = decoded.map_err(|error| picture::unusable(&error))?;
        if let Some(turn) = turn {
            decoded.apply_orientation(turn);
        }
        Ok(Self(decoded.into_rgb8()))
    }

    /// Decodes a portrait: a JPEG or PNG, or as chips have it JPEG 2000 (ISO/IEC 15444-1) with and without its boxes.
    pub fn portrait(bytes: &[u8]) -> Result<Self, Unusable> {
        if image::guess_format(bytes).is_ok() {
            return Self::decode(bytes);
        }
        if bytes.len() > PICTURE_MAX_BYTES {
            return Err(Unusable::TooLong);
        }
        let stream = codestream(bytes).ok_or(Unusable::Format)?;
        let Tame { stream, channels } = tame(stream).ok_or(Unusable::TooLarge)?;
        let image = Image::new(&stream, &DecodeSettings::default());
        let image = image.map_err(|_| Unusable::Damaged)?;
        let (width, height) = (image.width(), image.height());
        let mut context = DecoderContext::default();
        let decoded = image.decode(&mut context).map_err(|_| Unusable::Damaged)?.data_u8();
        // Shades of grey or colours; what is beside them says how transparent it is.
        let rgb: Vec<u8> = match channels {
            1 | 2 => decoded.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
            _ => decoded.chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        };
        RgbImage::from_raw(width, height, rgb).map(Self).ok_or(Unusable::Damaged)
    }

    /// Of pixels row by row, three bytes each; `None` if they are not as many.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        RgbImage::from_raw(width, height, rgb).map(Self)
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.0.width()
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.0.height()
    }

    /// Row by row, red, green and blue.
    pub fn rgb(&self) -> &[u8] {
        self.0.as_raw()
    }

    /// The same with sides of so many pixels.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        if (width, height) == self.0.dimensions() {
            return self.clone();
        }
        let (width, height) = (width.max(1), height.max(1));
        // Much smaller in one step without much room, and the rest well.
        let (twice_wide, twice_high) = (width.saturating_mul(2), height.saturating_mul(2));
        if self.width() > twice_wide && self.height() > twice_high {
            let near = image::imageops::thumbnail(&self.0, twice_wide, twice_high);
            return Self(image::imageops::resize(&near, width, height, FilterType::Triangle));
        }
        Self(image::imageops::resize(&self.0, width, height, FilterType::Triangle))
    }

    /// The same with no side longer than this; as it is if none is.
    pub fn at_most(&self, side: u32) -> Self {
        let longest = self.width().max(self.height());
        if longest <= side {
            return self.clone();
        }
        let scaled = |length: u32| {
            let scaled = u64::from(length) * u64::from(side) / u64::from(longest);
            u32::try_from(scaled).unwrap_or(side)
        };
        self.resized(scaled(self.width()), scaled(self.height()))
    }

    /// In shades of grey, as far as it is within these pixels: left, top, width and height.
    pub fn grey(&self, (left, top, width, height): (u32, u32, u32, u32)) -> Picture {
        let part = image::imageops::crop_imm(&self.0, left, top, width, height).to_image();
        let grey: GrayImage = DynamicImage::ImageRgb8(part).into_luma8();
        Picture { width: grey.width(), height: grey.height(), luma: grey.into_raw() }
    }

    /// As a JPEG with nothing of what the camera wrote beside it.
    pub fn to_jpeg(&self) -> Result<Vec<u8>, Unusable> {
        let mut jpeg = Cursor::new(Vec::new());
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, KEPT_QUALITY);
        encoder.encode_image(&self.0).map_err(|_| Unusable::TooLarge)?;
        Ok(jpeg.into_inner())
    }
}

/// Where the picture itself is: in a box `jp2c`, or there are no boxes. What other boxes say of colours is left
/// out, since portraits have the usual ones.
fn codestream(mut bytes: &[u8]) -> Option<&[u8]> {
    if bytes.starts_with(&START) {
        return Some(bytes);
    }
    loop {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        // 0 is up to the end; 1 has the length after it. The last one may be cut.
        let (length, rest) = match u32::from_be_bytes(*length) {
            0 => (rest.len(), rest),
            1 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*length)).ok()?.checked_sub(16)?, rest)
            }
            length => (usize::try_from(length).ok()?.checked_sub(8)?, rest),
        };
        let inside = &rest[..length.min(rest.len())];
        if kind == b"jp2c" {
            return inside.starts_with(&START).then_some(inside);
        }
        bytes = rest.get(inside.len()..)?;
    }
}
