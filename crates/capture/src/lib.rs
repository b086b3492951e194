//! Pictures of documents and people: decoded within limits, judged by what can be measured, and searched for barcodes.
//!
//! What is measured here says whether a picture can be read, and nothing about whether what it shows is real.

mod barcode;
mod codestream;
mod photo;
mod picture;
mod quality;

pub use barcode::pdf417;
pub use photo::Photo;
pub use picture::{PICTURE_MAX_BYTES, Picture, SIDE_MAX_PIXELS, Unusable};
pub use quality::Quality;
