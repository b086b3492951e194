use crate::Picture;

/// Pixels of the longer side at which sharpness is measured, so that it does not depend on the camera.
const SIDE: u32 = 1_000;

/// From here on a pixel is white beyond reading.
const SATURATED: u8 = 250;

/// What can be measured of a picture. None of it needs a model, and none of it says what the picture shows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quality {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Variance of the Laplacian with a longer side of 1,000 pixels: edges are steep where it is high.
    pub sharpness: f64,
    /// Mean of all pixels, 0 for black to 1 for white.
    pub brightness: f64,
    /// Standard deviation of all pixels, from 0 to 0.5.
    pub contrast: f64,
    /// Share of pixels that are white beyond reading.
    pub saturated: f64,
}

#[expect(clippy::cast_precision_loss, reason = "at most a hundred million pixels")]
fn count(number: usize) -> f64 {
    number as f64
}

impl Quality {
    /// Of a picture.
    pub fn of(picture: &Picture) -> Self {
        let pixels = count(picture.luma.len()).max(1.0);
        let mean = picture.luma.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels;
        let spread =
            picture.luma.iter().map(|pixel| (f64::from(*pixel) - mean).powi(2)).sum::<f64>();
        let saturated = picture.luma.iter().filter(|pixel| **pixel >= SATURATED).count();
        Self {
            width: picture.width,
            height: picture.height,
            sharpness: sharpness(&picture.at_most(SIDE)),
            brightness: mean / 255.0,
            contrast: (spread / pixels).sqrt() / 255.0,
            saturated: count(saturated) / pixels,
        }
    }
}

fn sharpness(picture: &Picture) -> f64 {
    let width = picture.width as usize;
    let rows: Vec<&[u8]> = picture.luma.chunks_exact(width.max(1)).collect();
    let (mut sum, mut squares, mut pixels) = (0.0, 0.0, 0usize);
    for three in rows.windows(3) {
        for x in 1..width.saturating_sub(1) {
            let at = |row: usize, x: usize| f64::from(three[row][x]);
            let around = at(0, x) + at(2, x) + at(1, x - 1) + at(1, x + 1);
            let slope = around - 4.0 * at(1, x);
            sum += slope;
            squares += slope * slope;
            pixels += 1;
        }
    }
    let pixels = count(pixels).max(1.0);
    squares / pixels - (sum / pixels).powi(2)
}
