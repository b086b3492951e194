use std::io::Cursor;

use image::{ImageError, ImageFormat, ImageReader, Limits, imageops::FilterType};

/// Bytes of a picture as it is sent.
pub const PICTURE_MAX_BYTES: usize = 12 << 20;

/// Pixels of a side.
pub const SIDE_MAX_PIXELS: u32 = 10_000;

/// Bytes that decoding may take: 50 million pixels with three colours, twice.
const MEMORY_MAX_BYTES: u64 = 300 << 20;

/// Why a picture cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It has too many bytes.
    #[error("it is above 12 MiB")]
    TooLong,
    /// It is in none of the formats that are read.
    #[error("it is neither JPEG nor PNG")]
    Format,
    /// It has too many pixels.
    #[error("it has a side of more than 10,000 pixels, or is too large to decode")]
    TooLarge,
    /// It is damaged.
    #[error("it cannot be decoded")]
    Damaged,
}

/// Of a JPEG or PNG, within limits.
pub(crate) fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, Unusable> {
    if bytes.len() > PICTURE_MAX_BYTES {
        return Err(Unusable::TooLong);
    }
    let format = image::guess_format(bytes).map_err(|_| Unusable::Format)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png) {
        return Err(Unusable::Format);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX_PIXELS);
    limits.max_image_height = Some(SIDE_MAX_PIXELS);
    limits.max_alloc = Some(MEMORY_MAX_BYTES);
    reader.limits(limits);
    Ok(reader)
}

pub(crate) fn unusable(error: &ImageError) -> Unusable {
    match error {
        ImageError::Limits(_) => Unusable::TooLarge,
        _ => Unusable::Damaged,
    }
}

/// A picture in shades of grey.
#[derive(Clone)]
pub struct Picture {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row, 0 for black.
    pub luma: Vec<u8>,
}

impl Picture {
    /// Decodes a JPEG or PNG.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        let decoded = reader(bytes)?.decode().map_err(|error| unusable(&error))?;
        let luma = decoded.into_luma8();
        Ok(Self { width: luma.width(), height: luma.height(), luma: luma.into_raw() })
    }

    /// The same with no side longer than this; as it is if none is.
    pub fn at_most(&self, side: u32) -> Self {
        let longest = self.width.max(self.height);
        if longest <= side {
            return self.clone();
        }
        let scaled = |length: u32| {
            let scaled = u64::from(length) * u64::from(side) / u64::from(longest);
            u32::try_from(scaled).unwrap_or(side).max(1)
        };
        let image = image::GrayImage::from_raw(self.width, self.height, self.luma.clone());
        let image = image.unwrap_or_default();
        let (width, height) = (scaled(self.width), scaled(self.height));
        let small = image::imageops::resize(&image, width, height, FilterType::Triangle);
        Self { width, height, luma: small.into_raw() }
    }

    /// Turned by so many degrees about its middle; what was outside is grey.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the picture"
    )]
    pub fn tilted(&self, degrees: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        let middle = (width / 2.0, height / 2.0);
        let mut luma = Vec::with_capacity(self.luma.len());
        for y in 0..self.height {
            for x in 0..self.width {
                let (dx, dy) = (f64::from(x) - middle.0, f64::from(y) - middle.1);
                let (from_x, from_y) =
                    (middle.0 + dx * cos - dy * sin, middle.1 + dx * sin + dy * cos);
                let inside = from_x >= 0.0 && from_y >= 0.0 && from_x < width && from_y < height;
                let at = (from_y as usize) * self.width as usize + from_x as usize;
                let pixel = if inside { self.luma.get(at) } else { None };
                luma.push(pixel.copied().unwrap_or(128));
            }
        }
        Self { width: self.width, height: self.height, luma }
    }

    /// Turned by a quarter.
    pub fn turned(&self) -> Self {
        let image = image::GrayImage::from_raw(self.width, self.height, self.luma.clone());
        let turned = image::imageops::rotate90(&image.unwrap_or_default());
        Self { width: turned.width(), height: turned.height(), luma: turned.into_raw() }
    }
}
