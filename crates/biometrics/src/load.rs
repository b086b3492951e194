use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    Models,
    descriptor::{DESCRIPTOR_MAX_BYTES, Descriptor, ModelKind},
    model::Model,
};

/// Models of a directory.
pub const MODELS_MAX: usize = 16;
/// Bytes of one.
const MODEL_MAX_BYTES: usize = 512 << 20;

/// Why models cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct LoadError {
    /// The descriptor, the model or the directory.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Models {
    /// Loads every model of a directory that has a descriptor, and tries each: one that cannot be used stops all,
    /// since whoever put it there relies on it.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        let odd = |file: &Path| {
            let file = file.to_owned();
            move |why: String| LoadError { file, why }
        };
        let entries = fs::read_dir(directory).map_err(|error| odd(directory)(error.to_string()))?;
        let mut files = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| odd(directory)(error.to_string()))?.path();
            if file.extension().is_some_and(|end| end == "json") {
                files.push(file);
            }
        }
        files.sort();
        if files.is_empty() || files.len() > MODELS_MAX {
            let why = format!("it has {} descriptors, not 1 to {MODELS_MAX}", files.len());
            return Err(odd(directory)(why));
        }
        let mut models = Vec::new();
        for file in &files {
            let text = read(file, DESCRIPTOR_MAX_BYTES).map_err(odd(file))?;
            let descriptor = Descriptor::read(&text).map_err(odd(file))?;
            let beside = directory.join(&descriptor.file);
            let bytes = read(&beside, MODEL_MAX_BYTES).map_err(odd(&beside))?;
            models.push(Model::load(descriptor, &bytes).map_err(odd(&beside))?);
        }
        Self::new(models).map_err(odd(directory))
    }

    /// Of these; says which are too many. Of `pad` there may be several, which are taken together.
    pub(crate) fn new(models: Vec<Model>) -> Result<Self, String> {
        let mut all = Self::default();
        for model in models {
            let kind = model.descriptor.kind;
            let place = match kind {
                ModelKind::Detection => &mut all.detection,
                ModelKind::Embedding => &mut all.embedding,
                ModelKind::Age => &mut all.age,
                ModelKind::Pad => {
                    all.pad.push(model);
                    continue;
                }
            };
            if place.replace(model).is_some() {
                return Err(format!("there are two models of the kind {}", kind.as_str()));
            }
        }
        if all.detection.is_none() {
            return Err("there is no model of the kind detection, which all others need".to_owned());
        }
        Ok(all)
    }
}

fn read(file: &Path, most: usize) -> Result<Vec<u8>, String> {
    let open = fs::File::open(file).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    open.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > most { Err(format!("it is above {most} bytes")) } else { Ok(bytes) }
}
