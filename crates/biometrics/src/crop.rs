//! From a picture to what goes into a model.

use portcullis_capture::Photo;

use crate::{
    align::Similarity,
    descriptor::{Colour, Input, Layout},
    detect::Face,
};

/// Points of a pixel that are looked at on each side, where a picture is made smaller.
const SAMPLES_MAX: u32 = 16;

/// A picture of exactly the size of an input, as numbers.
pub(crate) fn numbers(photo: &Photo, input: &Input) -> Vec<f32> {
    let pixels: Vec<&[u8]> = photo.rgb().chunks_exact(3).collect();
    let colour = |pixel: &[u8], channel: usize| {
        let at = if input.colour == Colour::Bgr { 2 - channel } else { channel };
        (f32::from(pixel[at]) - input.mean[channel]) * input.scale[channel]
    };
    match input.layout {
        Layout::Planes => {
            (0..3).flat_map(|c| pixels.iter().map(move |pixel| colour(pixel, c))).collect()
        }
        Layout::Pixels => {
            pixels.iter().flat_map(|pixel| (0..3).map(move |c| colour(pixel, c))).collect()
        }
    }
}

/// A picture made to fit into a size, at its left and top, with black around, and by how much it was made smaller.
pub(crate) fn fitted(photo: &Photo, (width, height): (u32, u32)) -> (Photo, f64) {
    let (from_width, from_height) = (f64::from(photo.width()), f64::from(photo.height()));
    let scale = (f64::from(width) / from_width).min(f64::from(height) / from_height);
    let side = |length: f64, most: u32| whole(length * scale).clamp(1, most);
    let small = photo.resized(side(from_width, width), side(from_height, height));
    let row = 3 * small.width() as usize;
    let mut rgb = vec![0; 3 * width as usize * height as usize];
    for (to, from) in rgb.chunks_exact_mut(3 * width as usize).zip(small.rgb().chunks_exact(row)) {
        to[..row].copy_from_slice(from);
    }
    let all = Photo::from_rgb(width, height, rgb).unwrap_or(small);
    (all, scale)
}

/// What is around a face, so many times as wide and high as it; less if the picture ends before that.
pub(crate) fn around(photo: &Photo, face: &Face, box_scale: f64, size: (u32, u32)) -> Photo {
    let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
    let (face_width, face_height) = (face.width.max(1.0), face.height.max(1.0));
    let scale =
        box_scale.min((width - 1.0) / face_width).min((height - 1.0) / face_height).max(0.01);
    let (wide, high) = (face_width * scale, face_height * scale);
    let start = |middle: f64, length: f64, most: f64| {
        (middle - length / 2.0).clamp(0.0, (most - length).max(0.0))
    };
    let left = start(face.left + face.width / 2.0, wide, width);
    let top = start(face.top + face.height / 2.0, high, height);
    let (x, y) = (wide / f64::from(size.0), high / f64::from(size.1));
    sampled(photo, size, (x, y), |to_x, to_y| (left + to_x * x, top + to_y * y))
}

/// What a similarity takes to a square.
pub(crate) fn warped(photo: &Photo, to_square: &Similarity, size: (u32, u32)) -> Photo {
    let back = to_square.inverse();
    let scale = back.scale();
    sampled(photo, size, (scale, scale), |x, y| back.apply((x, y)))
}

/// Each pixel by what it stands for, pixels of the picture in width and height: as many points of it are looked at.
fn sampled(
    photo: &Photo,
    (width, height): (u32, u32),
    (across, down): (f64, f64),
    from: impl Fn(f64, f64) -> (f64, f64),
) -> Photo {
    let points = |pixels: f64| whole(pixels.ceil()).clamp(1, SAMPLES_MAX);
    let (across, down) = (points(across), points(down));
    let count = f64::from(across * down);
    let mut rgb = Vec::with_capacity(3 * width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let mut sum = [0.0; 3];
            for point in 0..across * down {
                let within = |at: u32, of: u32| (f64::from(at) + 0.5) / f64::from(of);
                let at_x = f64::from(x) + within(point % across, across);
                let at_y = f64::from(y) + within(point / across, down);
                let pixel = between(photo, from(at_x, at_y));
                for (sum, colour) in sum.iter_mut().zip(pixel) {
                    *sum += colour;
                }
            }
            rgb.extend(sum.map(|sum| byte(sum / count)));
        }
    }
    Photo::from_rgb(width, height, rgb).unwrap_or_else(|| photo.clone())
}

/// The colour at a point, between the four pixels around it; black outside of the picture.
fn between(photo: &Photo, (x, y): (f64, f64)) -> [f64; 3] {
    // The middle of a pixel is where its colour is.
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (right, down) = (x - left, y - top);
    let mut mixed = [0.0; 3];
    for (dx, dy, part) in [
        (0.0, 0.0, (1.0 - right) * (1.0 - down)),
        (1.0, 0.0, right * (1.0 - down)),
        (0.0, 1.0, (1.0 - right) * down),
        (1.0, 1.0, right * down),
    ] {
        if let Some(pixel) = pixel(photo, left + dx, top + dy) {
            for (mixed, colour) in mixed.iter_mut().zip(pixel) {
                *mixed += f64::from(*colour) * part;
            }
        }
    }
    mixed
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the picture")]
fn pixel(photo: &Photo, x: f64, y: f64) -> Option<&[u8]> {
    let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
    // An edge goes on for half a pixel.
    let within = (-1.0..=width).contains(&x) && (-1.0..=height).contains(&y);
    if !within {
        return None;
    }
    let (x, y) = (x.clamp(0.0, width - 1.0) as usize, y.clamp(0.0, height - 1.0) as usize);
    let at = 3 * (y * photo.width() as usize + x);
    photo.rgb().get(at..at + 3)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
fn byte(number: f64) -> u8 {
    number.round().clamp(0.0, 255.0) as u8
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(crate) fn whole(number: f64) -> u32 {
    number.round() as u32
}
