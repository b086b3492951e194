use crate::detect::Point;

/// Where the points of a face are in a square of 112 pixels, for models of the ArcFace family and SFace: the eye on the
/// left of the picture, the other, the tip of the nose, and the corners of the mouth.
pub const ARCFACE: [Point; 5] = [
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
];

/// Turning, scaling and moving: `x' = a x - b y + tx`, `y' = b x + a y + ty`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: f64,
    b: f64,
    tx: f64,
    ty: f64,
}

impl Similarity {
    /// The one that takes the first points nearest to the second ones, by least squares (Umeyama 1991 without
    /// reflection, which in the plane has a closed form); `None` if all of the first are one point.
    pub fn between(from: &[Point; 5], to: &[Point; 5]) -> Option<Self> {
        let mean = |points: &[Point; 5]| {
            let sum =
                points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (sum.0 / 5.0, sum.1 / 5.0)
        };
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (one, two) in from.iter().zip(to) {
            let (x, y) = (one.0 - from_mean.0, one.1 - from_mean.1);
            let (u, v) = (two.0 - to_mean.0, two.1 - to_mean.1);
            along += x * u + y * v;
            across += x * v - y * u;
            spread += x * x + y * y;
        }
        let (a, b) = (along / spread, across / spread);
        let it = Self {
            a,
            b,
            tx: to_mean.0 - a * from_mean.0 + b * from_mean.1,
            ty: to_mean.1 - b * from_mean.0 - a * from_mean.1,
        };
        let numbers = [it.a, it.b, it.tx, it.ty];
        (numbers.iter().all(|number| number.is_finite()) && it.scale() > 1e-6).then_some(it)
    }

    /// How much longer it makes everything.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// Takes a point along.
    pub fn apply(&self, (x, y): Point) -> Point {
        (self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty)
    }

    /// Takes everything back.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(one: Point, two: Point) -> bool {
        (one.0 - two.0).abs() < 1e-6 && (one.1 - two.1).abs() < 1e-6
    }

    #[test]
    fn a_point_is_no_face() {
        assert_eq!(Similarity::between(&[(3.0, 4.0); 5], &ARCFACE), None);
        assert_eq!(Similarity::between(&[(f64::NAN, 4.0); 5], &ARCFACE), None);
        // Nor is one that is mirrored: nothing but turning comes near to it.
        let mirrored = ARCFACE.map(|(x, y)| (112.0 - x, y));
        let found = Similarity::between(&mirrored, &ARCFACE).unwrap();
        assert!(!near(found.apply(mirrored[0]), ARCFACE[0]));
    }

    proptest! {
        #[test]
        fn whatever_was_done_is_undone(degrees in -180.0f64..180.0, scale in 0.01f64..50.0,
                                       x in -2_000.0f64..2_000.0, y in -2_000.0f64..2_000.0) {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let done = Similarity { a: scale * cos, b: scale * sin, tx: x, ty: y };
            let moved = ARCFACE.map(|point| done.apply(point));
            let undone = Similarity::between(&moved, &ARCFACE).unwrap();
            prop_assert!(moved.iter().zip(ARCFACE).all(|(m, t)| near(undone.apply(*m), t)));
            prop_assert!((undone.scale() * scale - 1.0).abs() < 1e-6);
            let back = undone.inverse();
            let far = |one: Point, two: Point| (one.0 - two.0).hypot(one.1 - two.1) > 1e-4;
            prop_assert!(!ARCFACE.iter().zip(moved).any(|(t, m)| far(back.apply(*t), m)));
        }
    }
}
