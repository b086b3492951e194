use portcullis_capture::{Photo, Picture};

use crate::{
    align::{ARCFACE, Similarity},
    crop,
    descriptor::Activation,
    detect::{self, Face},
    model::{Model, ModelUsed},
    template::Template,
};

/// The part of a picture in which a face is looked for at most: beyond it a face is as well found.
const SIDE: u32 = 2_000;

/// Models that were loaded and tried. A detector is always among them.
#[derive(Default)]
pub struct Models {
    pub(crate) detection: Option<Model>,
    pub(crate) embedding: Option<Model>,
    pub(crate) pad: Vec<Model>,
    pub(crate) age: Option<Model>,
}

/// A model did not say numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a model does not say numbers")]
pub struct TooOdd;

/// The faces of a picture.
#[derive(Clone)]
pub struct Selfie {
    /// As it is looked at, no side longer than 2,000 pixels.
    pub photo: Photo,
    /// The largest first, in its pixels.
    pub faces: Vec<Face>,
}

/// Whether somebody was in front of the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Liveness {
    /// 0 to 1, of all models together.
    pub score: f64,
    /// From where on somebody was there.
    pub threshold: f64,
    /// From where on a person should look.
    pub review: f64,
}

/// How old somebody looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Age {
    /// In years.
    pub years: f64,
    /// By how many it may be wrong.
    pub tolerance: f64,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.used().iter().map(|model| &model.name)).finish()
    }
}

impl Selfie {
    /// The largest face.
    pub fn face(&self) -> Option<&Face> {
        self.faces.first()
    }

    /// The largest face in shades of grey.
    pub fn grey(&self) -> Option<Picture> {
        let face = self.face()?;
        let at = |number: f64| crop::whole(number.max(0.0));
        let (left, top) = (at(face.left), at(face.top));
        let (left, top) = (left.min(self.photo.width() - 1), top.min(self.photo.height() - 1));
        let part = (left, top, at(face.width).max(1), at(face.height).max(1));
        Some(self.photo.grey(part))
    }
}

impl Models {
    /// All of them, as reports name them.
    pub fn used(&self) -> Vec<ModelUsed> {
        let one = [&self.detection, &self.embedding, &self.age].into_iter().flatten();
        one.chain(&self.pad).map(Model::used).collect()
    }

    /// The detector.
    pub fn detector(&self) -> Vec<ModelUsed> {
        self.detection.iter().map(Model::used).collect()
    }

    /// Those that compare faces, the detector among them; `None` if there are none.
    pub fn comparing(&self) -> Option<Vec<ModelUsed>> {
        let embedding = self.embedding.as_ref()?;
        Some(self.detection.iter().chain([embedding]).map(Model::used).collect())
    }

    /// Those that tell whether somebody was there, the detector among them; `None` if there are none.
    pub fn telling_live(&self) -> Option<Vec<ModelUsed>> {
        let all = self.detection.iter().chain(&self.pad).map(Model::used);
        (!self.pad.is_empty()).then(|| all.collect())
    }

    /// Those that tell an age, the detector among them; `None` if there are none.
    pub fn telling_age(&self) -> Option<Vec<ModelUsed>> {
        let age = self.age.as_ref()?;
        Some(self.detection.iter().chain([age]).map(Model::used).collect())
    }

    /// From which cosine on two faces are of one person, and from which a person should look. The SHA-256 of the model
    /// tells whether templates are of the same one.
    pub fn embedding(&self) -> Option<(f64, f64, &str)> {
        let descriptor = &self.embedding.as_ref()?.descriptor;
        let threshold = descriptor.threshold?;
        Some((threshold, descriptor.review.unwrap_or(threshold), &descriptor.sha256))
    }

    /// From which cosine on somebody is found among many.
    pub fn search_from(&self) -> Option<f64> {
        let descriptor = &self.embedding.as_ref()?.descriptor;
        descriptor.search.or(descriptor.threshold)
    }

    /// The faces of a picture.
    pub fn look(&self, photo: &Photo) -> Result<Selfie, TooOdd> {
        let photo = photo.at_most(SIDE);
        let detection = self.detection.as_ref().ok_or(TooOdd)?;
        let faces = detect::faces(detection, &photo)?;
        Ok(Selfie { photo, faces })
    }

    /// A face as a vector; `None` if no model makes one, or there is nothing to make one of.
    pub fn template(&self, selfie: &Selfie) -> Result<Option<Template>, TooOdd> {
        let (Some(model), Some(face)) = (&self.embedding, selfie.face()) else { return Ok(None) };
        let Some(aligned) = Similarity::between(&face.points, &ARCFACE) else { return Ok(None) };
        let square = crop::warped(&selfie.photo, &aligned, (112, 112));
        let said = model.run(&crop::numbers(&square, &model.descriptor.input))?;
        Ok(said.first().and_then(|numbers| Template::of(numbers)))
    }

    /// Whether somebody was in front of the camera, by all models for it together.
    pub fn liveness(&self, selfie: &Selfie) -> Result<Option<Liveness>, TooOdd> {
        let Some(face) = selfie.face().filter(|_| !self.pad.is_empty()) else { return Ok(None) };
        let (mut score, mut threshold, mut review) = (0.0, 0.0, 0.0);
        for model in &self.pad {
            let said = self.around(model, selfie, face)?;
            let output = model.descriptor.output.as_ref().ok_or(TooOdd)?;
            let classes =
                if output.activation == Activation::Softmax { softmax(&said) } else { said };
            let live = classes.get(output.live_index.ok_or(TooOdd)?).ok_or(TooOdd)?;
            score += live.clamp(0.0, 1.0);
            let from = model.descriptor.threshold.ok_or(TooOdd)?;
            threshold += from;
            review += model.descriptor.review.unwrap_or(from);
        }
        let count = f64::from(u32::try_from(self.pad.len()).map_err(|_| TooOdd)?);
        let [score, threshold, review] = [score, threshold, review].map(|sum| sum / count);
        Ok(Some(Liveness { score, threshold, review }))
    }

    /// How old somebody looks.
    pub fn age(&self, selfie: &Selfie) -> Result<Option<Age>, TooOdd> {
        let (Some(model), Some(face)) = (&self.age, selfie.face()) else { return Ok(None) };
        let said = self.around(model, selfie, face)?;
        let output = model.descriptor.output.as_ref().ok_or(TooOdd)?;
        let years = if output.activation == Activation::Expectation {
            let years = softmax(&said).into_iter().zip(0u32..);
            years.map(|(share, year)| share * f64::from(year)).sum()
        } else {
            *said.get(output.index.unwrap_or(0)).ok_or(TooOdd)?
        };
        let years = (years * output.scale.unwrap_or(1.0)).clamp(0.0, 150.0);
        Ok(Some(Age { years, tolerance: model.descriptor.tolerance.unwrap_or(0.0) }))
    }

    /// What a model says of what is around a face.
    fn around(&self, model: &Model, selfie: &Selfie, face: &Face) -> Result<Vec<f64>, TooOdd> {
        let (width, height) = model.descriptor.input.size();
        let side = |pixels: usize| u32::try_from(pixels).map_err(|_| TooOdd);
        let size = (side(width)?, side(height)?);
        let scale = model.descriptor.crop.ok_or(TooOdd)?.box_scale;
        let part = crop::around(&selfie.photo, face, scale, size);
        let said = model.run(&crop::numbers(&part, &model.descriptor.input))?;
        Ok(said.first().ok_or(TooOdd)?.iter().map(|number| f64::from(*number)).collect())
    }
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
