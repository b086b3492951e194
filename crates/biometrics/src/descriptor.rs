use serde::{Deserialize, Serialize};

use crate::template::DIMENSIONS_MAX;

/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR_MAX_BYTES: usize = 64 << 10;
/// Pixels of a side of what goes into a model.
const SIDE_MAX: usize = 2_048;
/// Outputs that a detector may have of each kind.
const HEADS_MAX: usize = 8;
const LICENCE_MAX_BYTES: usize = 2_000;
const NAME_MAX_BYTES: usize = 64;
const SEARCH_MUST: &str = "search: must be 0 to 1, for embedding alone";

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Where faces are, with five points of each.
    Detection,
    /// A face as a vector, so that those of one person are near each other.
    Embedding,
    /// Presentation attack detection (ISO/IEC 30107-3): whether somebody was in front of the camera.
    Pad,
    /// How old somebody looks.
    Age,
}

impl ModelKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Embedding => "embedding",
            Self::Pad => "pad",
            Self::Age => "age",
        }
    }
}

/// What a model needs and gives: a file `NAME.json` beside it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// What it is for.
    pub kind: ModelKind,
    /// As reports call it.
    pub name: String,
    /// Which one of it.
    #[serde(default)]
    pub version: String,
    /// The model, in the same directory.
    pub file: String,
    /// Of the file, hexadecimal.
    pub sha256: String,
    /// By which terms it may be used. It is shown when it is loaded, and kept with each report.
    pub licence: String,
    /// What goes in.
    pub input: Input,
    /// How much around a face is cut out; for `pad` and `age`.
    pub crop: Option<Crop>,
    /// What comes out; not for `detection`.
    pub output: Option<Output>,
    /// How faces are read from what comes out; for `detection`.
    pub detection: Option<Detection>,
    /// From where on it says so: `detection` that there is a face, `embedding` that two are of one person (cosine),
    /// `pad` that somebody was there.
    pub threshold: Option<f64>,
    /// From where on a person should look, up to `threshold`.
    pub review: Option<f64>,
    /// For `embedding`: from where on somebody is found among many; `threshold` if nothing is said. The more there are,
    /// the more of them look alike.
    pub search: Option<f64>,
    /// For `age`: by how many years it may be wrong.
    pub tolerance: Option<f64>,
    /// What a laboratory says about it; for `pad`.
    #[serde(default)]
    pub evidence: Evidence,
}

/// What goes into a model. A pixel is `(value - mean) * scale` of each of its colours, from 0 to 255.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// As the model calls it.
    pub name: String,
    /// One picture with three colours.
    pub shape: [usize; 4],
    /// Where the colours are.
    pub layout: Layout,
    /// In which order.
    pub colour: Colour,
    #[serde(default)]
    pub mean: [f32; 3],
    #[serde(default = "ones")]
    pub scale: [f32; 3],
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Layout {
    /// One plane for each colour.
    #[serde(rename = "NCHW")]
    Planes,
    /// Pixel by pixel.
    #[serde(rename = "NHWC")]
    Pixels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Colour {
    #[serde(rename = "RGB")]
    Rgb,
    #[serde(rename = "BGR")]
    Bgr,
}

impl Input {
    /// Pixels of a row, and rows.
    pub fn size(&self) -> (usize, usize) {
        match self.layout {
            Layout::Planes => (self.shape[3], self.shape[2]),
            Layout::Pixels => (self.shape[2], self.shape[1]),
        }
    }

    fn colours(&self) -> usize {
        match self.layout {
            Layout::Planes => self.shape[1],
            Layout::Pixels => self.shape[3],
        }
    }
}

/// How much around a face is cut out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// So many times as wide and high as the face; less where the picture ends before that.
    pub box_scale: f64,
}

/// What comes out of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// As the model calls it.
    pub name: String,
    /// What is done with it.
    #[serde(default)]
    pub activation: Activation,
    /// For `pad`: the class of those who are there.
    pub live_index: Option<usize>,
    /// For `age`: which number it is, and what it is multiplied by.
    pub index: Option<usize>,
    pub scale: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// It has one score for each class.
    Softmax,
    /// For `age`: it has one score for each year, from 0 on, and the mean counts.
    Expectation,
}

/// How faces are read from what a detector says. Each output has one row for each place of a grid of `stride` pixels,
/// row by row; several for one place follow each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    pub decoder: Decoder,
    #[serde(default)]
    pub strides: Vec<usize>,
    /// How many there are for each place.
    #[serde(default = "one")]
    pub anchors: usize,
    /// The outputs, one for each stride.
    #[serde(default)]
    pub scores: Vec<String>,
    #[serde(default)]
    pub objectness: Vec<String>,
    #[serde(default)]
    pub boxes: Vec<String>,
    #[serde(default)]
    pub landmarks: Vec<String>,
    /// For `rows`: the output.
    pub rows: Option<String>,
    /// How much of two faces may be the same, of both together.
    #[serde(default = "overlap")]
    pub overlap: f64,
}

fn one() -> usize {
    1
}

fn overlap() -> f64 {
    0.4
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// Centre and logarithm of the size, in strides; the root of class times objectness.
    Yunet,
    /// Distances to the four sides, in strides.
    Scrfd,
    /// Left, top, width, height, five points and the score, in pixels of what went in.
    Rows,
}

/// What is known of how well attacks are found (ISO/IEC 30107-3). Nothing is claimed without the letter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// The highest error of all kinds of attacks.
    pub apcer_max: Option<f64>,
    /// How many honest ones were refused.
    pub bpcer: Option<f64>,
    /// Who measured it.
    pub lab: Option<String>,
    /// Where the letter is.
    pub letter: Option<String>,
}

impl Descriptor {
    /// Reads one; says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > DESCRIPTOR_MAX_BYTES {
            return Err(format!("it is above {DESCRIPTOR_MAX_BYTES} bytes"));
        }
        let it: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        it.check()?;
        Ok(it)
    }

    fn check(&self) -> Result<(), String> {
        let must = |fits: bool, what: &str| if fits { Ok(()) } else { Err(what.to_owned()) };
        let plain = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            (1..=NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits)
        };
        must(plain(&self.name), "name: must be 1 to 64 letters, digits, points and dashes")?;
        must(
            self.version.is_empty() || plain(&self.version),
            "version: must be letters, digits, points and dashes",
        )?;
        must(
            plain(&self.file) && !self.file.starts_with('.'),
            "file: must be the name of a file in the same directory",
        )?;
        let digest = data_encoding::HEXLOWER.decode(self.sha256.as_bytes());
        must(digest.is_ok_and(|digest| digest.len() == 32), "sha256: must be 64 small hex digits")?;
        let licence = self.licence.trim().len();
        must((1..=LICENCE_MAX_BYTES).contains(&licence), "licence: must be 1 to 2,000 bytes")?;
        self.check_input()?;
        match self.kind {
            ModelKind::Detection => self.check_detection(),
            _ => self.check_output(),
        }
    }

    fn check_input(&self) -> Result<(), String> {
        let (width, height) = self.input.size();
        let sides = (8..=SIDE_MAX).contains(&width) && (8..=SIDE_MAX).contains(&height);
        if self.input.shape[0] != 1 || self.input.colours() != 3 || !sides {
            return Err(format!(
                "input.shape: must be one picture with 3 colours and sides of 8 to {SIDE_MAX} pixels"
            ));
        }
        let numbers = self.input.mean.iter().chain(&self.input.scale);
        if numbers.clone().any(|number| !number.is_finite()) || self.input.scale.contains(&0.0) {
            return Err("input.mean, input.scale: must be numbers, no scale 0".to_owned());
        }
        if self.kind == ModelKind::Embedding && (width, height) != (112, 112) {
            return Err("input.shape: faces are aligned to 112 by 112 pixels".to_owned());
        }
        Ok(())
    }

    fn threshold(&self, range: std::ops::RangeInclusive<f64>) -> Result<(), String> {
        let within = |number: f64| range.contains(&number);
        let fits = self.threshold.is_some_and(within)
            && self.review.is_none_or(|review| within(review) && Some(review) <= self.threshold);
        let must = || format!("threshold: must be {range:?}, and review no more than it");
        fits.then_some(()).ok_or_else(must)
    }

    fn check_detection(&self) -> Result<(), String> {
        if self.search.is_some() {
            return Err(SEARCH_MUST.to_owned());
        }
        if self.output.is_some() || self.crop.is_some() || self.review.is_some() {
            return Err("a detector has no output, crop and review, but detection".to_owned());
        }
        self.threshold(0.0..=1.0)?;
        let it = self.detection.as_ref().ok_or("detection: must be there")?;
        if !(0.0..=1.0).contains(&it.overlap) {
            return Err("detection.overlap: must be 0 to 1".to_owned());
        }
        if it.decoder == Decoder::Rows {
            return it.rows.as_ref().map(drop).ok_or("detection.rows: must be there".to_owned());
        }
        let (heads, (width, height)) = (it.strides.len(), self.input.size());
        let same = |names: &[String]| names.len() == heads;
        let objectness =
            it.objectness.len() == if it.decoder == Decoder::Yunet { heads } else { 0 };
        let named = same(&it.scores) && same(&it.boxes) && same(&it.landmarks) && objectness;
        if !named || !(1..=HEADS_MAX).contains(&heads) || !(1..=4).contains(&it.anchors) {
            return Err(
                "detection: must name one output of each kind for each of 1 to 8 strides, \
                        objectness for yunet alone"
                    .to_owned(),
            );
        }
        let fits = |stride: &usize| *stride > 0 && width % stride == 0 && height % stride == 0;
        if !it.strides.iter().all(fits) {
            return Err("detection.strides: must divide the sides of the input".to_owned());
        }
        Ok(())
    }

    fn check_output(&self) -> Result<(), String> {
        let output = self.output.as_ref().ok_or("output: must be there")?;
        if self.detection.is_some() {
            return Err("detection: is for detectors".to_owned());
        }
        let crops = matches!(self.kind, ModelKind::Pad | ModelKind::Age);
        let fits = |crop: &Crop| (1.0..=8.0).contains(&crop.box_scale);
        if self.crop.is_some() != crops || !self.crop.as_ref().is_none_or(fits) {
            return Err("crop.box_scale: must be 1 to 8, for pad and age alone".to_owned());
        }
        let embeds = self.kind == ModelKind::Embedding;
        let search = self.search.is_none_or(|search| embeds && (0.0..=1.0).contains(&search));
        if !search {
            return Err(SEARCH_MUST.to_owned());
        }
        if self.kind == ModelKind::Age {
            let tolerance = self.tolerance.is_some_and(|years| (0.0..=50.0).contains(&years));
            let scale = output.scale.is_none_or(|scale| scale.is_finite() && scale > 0.0);
            let reads = matches!(output.activation, Activation::None | Activation::Expectation);
            if !(tolerance && scale && reads) || self.threshold.is_some() {
                return Err("age: needs tolerance of 0 to 50 years, no threshold, and activation \
                            none or expectation"
                    .to_owned());
            }
            return Ok(());
        }
        if embeds && output.activation != Activation::None {
            return Err("output.activation: an embedding has none".to_owned());
        }
        if !embeds && (output.live_index.is_none() || output.activation == Activation::Expectation)
        {
            return Err(
                "output.live_index: must be there, with activation none or softmax".to_owned()
            );
        }
        self.threshold(if embeds { -1.0..=1.0 } else { 0.0..=1.0 })
    }

    /// The outputs by name, in the order in which they are read.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        match (&self.detection, &self.output) {
            (Some(it), _) => {
                let heads = it.scores.iter().chain(&it.objectness).chain(&it.boxes);
                heads.chain(&it.landmarks).chain(&it.rows).map(String::as_str).collect()
            }
            (None, Some(output)) => vec![&output.name],
            (None, None) => Vec::new(),
        }
    }

    /// Whether an output may have so many numbers; it is the one at this place of [`Self::outputs`].
    pub(crate) fn fits(&self, at: usize, numbers: usize) -> bool {
        let (width, height) = self.input.size();
        match (&self.detection, &self.output, self.kind) {
            (Some(it), _, _) if it.decoder == Decoder::Rows => numbers.is_multiple_of(15),
            (Some(it), _, _) => {
                let (stride, kind) = (it.strides[at % it.strides.len()], at / it.strides.len());
                let rows = (width / stride) * (height / stride) * it.anchors;
                let each = match (kind, it.decoder) {
                    (0, _) | (1, Decoder::Yunet) => 1,
                    (1, _) | (2, Decoder::Yunet) => 4,
                    _ => 10,
                };
                numbers == rows * each
            }
            (None, Some(output), ModelKind::Pad) => {
                output.live_index.is_some_and(|index| index < numbers) && numbers <= 16
            }
            (None, Some(output), ModelKind::Age) => {
                output.index.unwrap_or(0) < numbers && numbers <= 256
            }
            (None, ..) => (8..=DIMENSIONS_MAX).contains(&numbers),
        }
    }
}
