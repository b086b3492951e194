use portcullis_capture::Photo;

use crate::{
    crop,
    descriptor::{Decoder, Detection},
    engine::TooOdd,
    model::Model,
};

/// Right and down from the corner of a picture, in pixels.
pub type Point = (f64, f64);

/// Faces of a picture that are looked at: there may be a crowd.
const FACES_MAX: usize = 64;
/// Before those are left out that are the same.
const CANDIDATES_MAX: usize = 2_000;
/// The largest size in strides, as a logarithm: above it a number says nothing.
const LOG_SIZE_MAX: f64 = 10.0;

/// A face in a picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Of its box.
    pub left: f64,
    /// Of its box.
    pub top: f64,
    /// Of its box.
    pub width: f64,
    /// Of its box.
    pub height: f64,
    /// The eye on the left of the picture, the other, the nose, and the corners of the mouth.
    pub points: [Point; 5],
    /// How sure the model is, 0 to 1.
    pub score: f64,
}

impl Face {
    fn scaled(self, by: f64) -> Self {
        Self {
            left: self.left * by,
            top: self.top * by,
            width: self.width * by,
            height: self.height * by,
            points: self.points.map(|(x, y)| (x * by, y * by)),
            score: self.score,
        }
    }

    pub(crate) fn area(&self) -> f64 {
        self.width * self.height
    }

    /// How much two have in common, of both together.
    fn overlap(&self, other: &Self) -> f64 {
        let along = |a: f64, b: f64, c: f64, d: f64| ((a + b).min(c + d) - a.max(c)).max(0.0);
        let common = along(self.left, self.width, other.left, other.width)
            * along(self.top, self.height, other.top, other.height);
        common / (self.area() + other.area() - common).max(1e-9)
    }

    /// How far the nose is from the middle of the eyes, in distances of the eyes: 0 for whoever looks into the camera,
    /// and about half of that for a profile. `None` if the eyes are one point.
    pub fn turn(&self) -> Option<f64> {
        let [left, right, nose, ..] = self.points;
        let (dx, dy) = (right.0 - left.0, right.1 - left.1);
        let square = dx * dx + dy * dy;
        let middle = ((left.0 + right.0) / 2.0, (left.1 + right.1) / 2.0);
        let along = (nose.0 - middle.0) * dx + (nose.1 - middle.1) * dy;
        (square > 1.0).then(|| (along / square).abs())
    }
}

/// The faces of a picture, the largest first.
pub(crate) fn faces(model: &Model, photo: &Photo) -> Result<Vec<Face>, TooOdd> {
    let Some(detection) = &model.descriptor.detection else { return Err(TooOdd) };
    let (width, height) = model.descriptor.input.size();
    let size =
        (u32::try_from(width).map_err(|_| TooOdd)?, u32::try_from(height).map_err(|_| TooOdd)?);
    let (fitted, scale) = crop::fitted(photo, size);
    let said = model.run(&crop::numbers(&fitted, &model.descriptor.input))?;
    let threshold = model.descriptor.threshold.unwrap_or(1.0);
    let mut found = match detection.decoder {
        Decoder::Rows => rows(said.first().ok_or(TooOdd)?, threshold),
        _ => heads(detection, width, &said, threshold),
    };
    found.retain(is_some);
    found.sort_by(|one, two| two.score.total_cmp(&one.score));
    found.truncate(CANDIDATES_MAX);
    let mut kept: Vec<Face> = Vec::new();
    for face in found {
        if kept.len() < FACES_MAX
            && kept.iter().all(|other| face.overlap(other) <= detection.overlap)
        {
            kept.push(face);
        }
    }
    kept.sort_by(|one, two| two.area().total_cmp(&one.area()));
    Ok(kept.into_iter().map(|face| face.scaled(1.0 / scale)).collect())
}

/// Whether its numbers are some.
fn is_some(face: &Face) -> bool {
    let points = face.points.iter().flat_map(|point| [point.0, point.1]);
    let all = [face.left, face.top, face.width, face.height, face.score];
    all.into_iter().chain(points).all(f64::is_finite) && face.width > 1.0 && face.height > 1.0
}

fn rows(numbers: &[f32], threshold: f64) -> Vec<Face> {
    let face = |row: &[f32]| {
        let at = |place: usize| f64::from(row[place]);
        Face {
            left: at(0),
            top: at(1),
            width: at(2),
            height: at(3),
            points: std::array::from_fn(|point| (at(4 + 2 * point), at(5 + 2 * point))),
            score: at(14),
        }
    };
    numbers.chunks_exact(15).map(face).filter(|face| face.score >= threshold).collect()
}

#[expect(clippy::cast_precision_loss, reason = "at most 2,048")]
fn float(number: usize) -> f64 {
    number as f64
}

fn heads(detection: &Detection, width: usize, said: &[Vec<f32>], threshold: f64) -> Vec<Face> {
    let count = detection.strides.len();
    let yunet = detection.decoder == Decoder::Yunet;
    let (boxes, landmarks) = if yunet { (2 * count, 3 * count) } else { (count, 2 * count) };
    let mut found = Vec::new();
    for (head, stride) in detection.strides.iter().enumerate() {
        let (columns, stride) = (width / stride, float(*stride));
        for (row, score) in said[head].iter().enumerate() {
            let class = f64::from(*score).clamp(0.0, 1.0);
            let score = match said.get(count + head).filter(|_| yunet) {
                Some(there) => (class * f64::from(there[row]).clamp(0.0, 1.0)).sqrt(),
                None => class,
            };
            if score < threshold {
                continue;
            }
            let place = row / detection.anchors;
            let (x, y) = (float(place % columns), float(place / columns));
            let four = |at: usize| f64::from(said[boxes + head][4 * row + at]);
            let ten = |at: usize| f64::from(said[landmarks + head][10 * row + at]);
            let points = std::array::from_fn(|point| {
                ((x + ten(2 * point)) * stride, (y + ten(2 * point + 1)) * stride)
            });
            let (left, top, width, height) = if yunet {
                let size = |at: usize| four(at).min(LOG_SIZE_MAX).exp() * stride;
                let (width, height) = (size(2), size(3));
                let middle = ((x + four(0)) * stride, (y + four(1)) * stride);
                (middle.0 - width / 2.0, middle.1 - height / 2.0, width, height)
            } else {
                let (left, top) = ((x - four(0)) * stride, (y - four(1)) * stride);
                (left, top, (four(0) + four(2)) * stride, (four(1) + four(3)) * stride)
            };
            found.push(Face { left, top, width, height, points, score });
        }
    }
    found
}
