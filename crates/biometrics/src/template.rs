/// Numbers of a face.
pub const DIMENSIONS_MAX: usize = 1_024;

/// A face as a vector of length 1, each number in one byte. Two of one person are near each other if the same model
/// made them; between those of two models there is nothing to compare.
#[derive(Clone, PartialEq)]
pub struct Template {
    /// What a byte of 1 stands for.
    scale: f32,
    numbers: Vec<i8>,
}

impl std::fmt::Debug for Template {
    // Not what it says of somebody.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({})", self.numbers.len())
    }
}

impl Template {
    /// Of what a model says; `None` if it says nothing, or no numbers.
    #[expect(clippy::cast_possible_truncation, reason = "within 127")]
    pub fn of(numbers: &[f32]) -> Option<Self> {
        let length = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        let largest = numbers.iter().fold(0.0f64, |max, number| max.max(f64::from(number.abs())));
        let fits = (1..=DIMENSIONS_MAX).contains(&numbers.len());
        if !fits || !length.is_finite() || length < 1e-6 || largest <= 0.0 {
            return None;
        }
        let step = 127.0 / largest;
        let whole: Vec<i8> =
            numbers.iter().map(|number| (f64::from(*number) * step).round() as i8).collect();
        Some(Self { scale: scale(&whole), numbers: whole })
    }

    /// As it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.numbers.iter().map(|number| number.cast_unsigned()).collect()
    }

    /// From how it is kept.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let numbers: Vec<i8> = bytes.iter().map(|byte| byte.cast_signed()).collect();
        let fits = (1..=DIMENSIONS_MAX).contains(&numbers.len());
        let some = numbers.iter().any(|number| *number != 0) && !numbers.contains(&i8::MIN);
        (fits && some).then(|| Self { scale: scale(&numbers), numbers })
    }

    /// How many numbers it has.
    pub fn dimensions(&self) -> usize {
        self.numbers.len()
    }

    /// The cosine of the angle between two, -1 to 1; `None` if they are not as long.
    pub fn cosine(&self, other: &Self) -> Option<f64> {
        (self.numbers.len() == other.numbers.len()).then(|| {
            let both = self.numbers.iter().zip(&other.numbers);
            let dot: i32 = both.map(|(one, two)| i32::from(*one) * i32::from(*two)).sum();
            cosine(dot, self.scale, other.scale)
        })
    }

    pub(crate) fn parts(&self) -> (f32, &[i8]) {
        (self.scale, &self.numbers)
    }
}

/// Rounding does not change the length: it is that of the bytes.
#[expect(clippy::cast_possible_truncation, reason = "of numbers near 1")]
fn scale(numbers: &[i8]) -> f32 {
    let length = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    (1.0 / length.max(1e-9)) as f32
}

pub(crate) fn cosine(dot: i32, one: f32, two: f32) -> f64 {
    (f64::from(dot) * f64::from(one) * f64::from(two)).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_says_nothing_is_none() {
        for numbers in [&[][..], &[0.0; 8], &[f32::NAN; 8], &[f32::INFINITY; 8], &[1.0; 2_000]] {
            assert!(Template::of(numbers).is_none(), "{}", numbers.len());
        }
        for bytes in [&[][..], &[0; 8], &[0x80; 8], &[1; 2_000]] {
            assert!(Template::from_bytes(bytes).is_none());
        }
    }

    #[test]
    fn the_cosine_is_that_of_the_angle() {
        let of = |numbers: &[f32]| Template::of(numbers).unwrap();
        let (right, up) = (of(&[3.0, 0.0]), of(&[0.0, 0.1]));
        assert_eq!(right.cosine(&up), Some(0.0));
        let near = |one: Option<f64>, two: f64| assert!((one.unwrap() - two).abs() < 1e-6);
        near(right.cosine(&right), 1.0);
        near(right.cosine(&of(&[-7.0, 0.0])), -1.0);
        assert!((right.cosine(&of(&[1.0, 1.0])).unwrap() - 0.5f64.sqrt()).abs() < 1e-6);
        assert_eq!(right.cosine(&of(&[1.0, 0.0, 0.0])), None);
    }

    proptest! {
        #[test]
        fn a_byte_for_each_number_is_enough(one in prop::collection::vec(-1.0f32..1.0, 128),
                                            two in prop::collection::vec(-1.0f32..1.0, 128)) {
            let exact = |one: &[f32], two: &[f32]| {
                let dot = |a: &[f32], b: &[f32]| {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                };
                dot(one, two) / (dot(one, one) * dot(two, two)).sqrt()
            };
            let (a, b) = (Template::of(&one).unwrap(), Template::of(&two).unwrap());
            prop_assert!((a.cosine(&b).unwrap() - exact(&one, &two)).abs() < 0.01);
            prop_assert_eq!(Template::from_bytes(&a.to_bytes()), Some(a));
        }
    }
}
