//! Faces, by models that the operator brings: where they are in a picture, whether two are of one person, whether
//! somebody was in front of the camera, and how old they look. And the exact search for a face among many.
//!
//! A model is a file in ONNX with a descriptor beside it ([`Descriptor`]), which says what goes in and what comes out.
//! Everything between the picture and the model is done here: finding, aligning, cutting out, and reading what the
//! model says. There are no models here, and without one nothing is claimed.

mod align;
mod crop;
mod descriptor;
mod detect;
mod engine;
mod load;
mod model;
mod search;
mod template;

pub use align::{ARCFACE, Similarity};
pub use descriptor::{Descriptor, Evidence, ModelKind};
pub use detect::{Face, Point};
pub use engine::{Age, Liveness, Models, Selfie, TooOdd};
pub use load::{LoadError, MODELS_MAX};
pub use model::{ModelUsed, inspect};
pub use search::{FaceIndex, Hit};
pub use template::{DIMENSIONS_MAX, Template};
