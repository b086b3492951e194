use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use prost::Message;
use serde::Serialize;
use tract_onnx::{pb, prelude::*};

use crate::{
    descriptor::{Descriptor, Evidence},
    engine::TooOdd,
};

/// Numbers that may come out of a model.
const OUTPUT_MAX: usize = 1 << 20;
/// Nodes of one.
const NODES_MAX: usize = 10_000;
/// The versions of the operators that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=21;

/// A model that was tried.
pub(crate) struct Model {
    pub descriptor: Descriptor,
    runnable: Arc<TypedRunnableModel>,
}

/// What said something, so that it can be told later.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelUsed {
    /// What it is for.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Which one of it.
    pub version: String,
    /// Of its file, hexadecimal.
    pub sha256: String,
    /// By which terms it is used.
    pub licence: String,
    /// For `pad`: the letter of a laboratory that measured how well it finds attacks; nobody claims that without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_certificate: Option<Evidence>,
}

impl Model {
    /// Reads a model and tries it; says why not.
    pub fn load(descriptor: Descriptor, bytes: &[u8]) -> Result<Self, String> {
        let found = HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
        if found != descriptor.sha256 {
            return Err(format!("its SHA-256 is {found}, not what the descriptor says"));
        }
        let proto = pb::ModelProto::decode(bytes).map_err(|_| "it is no ONNX".to_owned())?;
        let order = look(&proto, &descriptor)?;
        // Whatever is odd in a graph may also be met by a panic.
        let built = catch_unwind(AssertUnwindSafe(|| build(&proto, &descriptor, &order)));
        let runnable = built.map_err(|_| "it cannot be understood".to_owned())??;
        let model = Self { descriptor, runnable };
        model.try_out()?;
        Ok(model)
    }

    /// Two pictures tell whether it says numbers, and as many as it should.
    fn try_out(&self) -> Result<(), String> {
        let length: usize = self.descriptor.input.shape.iter().product();
        let shades = |at: usize| f32::from(u8::try_from(at % 251).unwrap_or(0));
        for picture in [vec![0.5; length], (0..length).map(shades).collect()] {
            let said = self.run(&picture).map_err(|_| "it does not say numbers".to_owned())?;
            for (at, (numbers, name)) in said.iter().zip(self.descriptor.outputs()).enumerate() {
                if !self.descriptor.fits(at, numbers.len()) {
                    return Err(format!(
                        "its output {name} has {} numbers, which the descriptor does not fit",
                        numbers.len()
                    ));
                }
            }
        }
        Ok(())
    }

    /// What it says of a picture: each output, in the order of the descriptor.
    pub fn run(&self, picture: &[f32]) -> Result<Vec<Vec<f32>>, TooOdd> {
        let run = || -> TractResult<Vec<Vec<f32>>> {
            let picture = Tensor::from_shape(&self.descriptor.input.shape, picture)?;
            let said = self.runnable.run(tvec!(picture.into()))?;
            said.iter()
                .map(|one| Ok(one.to_plain_array_view::<f32>()?.iter().copied().collect()))
                .collect()
        };
        let said = catch_unwind(AssertUnwindSafe(run));
        let said = said.ok().and_then(Result::ok).ok_or(TooOdd)?;
        let numbers = |one: &Vec<f32>| one.iter().all(|number| number.is_finite());
        if said.iter().all(numbers) { Ok(said) } else { Err(TooOdd) }
    }

    /// As reports name it.
    pub fn used(&self) -> ModelUsed {
        let it = &self.descriptor;
        let evidence = &it.evidence;
        ModelUsed {
            kind: it.kind.as_str(),
            name: it.name.clone(),
            version: it.version.clone(),
            sha256: it.sha256.clone(),
            licence: it.licence.clone(),
            pad_certificate: evidence.letter.is_some().then(|| evidence.clone()),
        }
    }
}

/// Whether a model is one that could be loaded with this descriptor, as far as that can be told without making anything
/// of it.
pub fn inspect(descriptor: &[u8], model: &[u8]) -> Result<(), String> {
    let descriptor = Descriptor::read(descriptor)?;
    let proto = pb::ModelProto::decode(model).map_err(|_| "it is no ONNX".to_owned())?;
    look(&proto, &descriptor).map(drop)
}

/// Looks at a graph before anything is made of it: where each output of the descriptor is among its own.
fn look(proto: &pb::ModelProto, descriptor: &Descriptor) -> Result<Vec<usize>, String> {
    let versions = proto.opset_import.iter();
    let version = versions.filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    let version = version.map(|set| set.version).next().unwrap_or(0);
    if !OPSETS.contains(&version) {
        return Err(format!("its operators are of version {version}, not {OPSETS:?}"));
    }
    let graph = proto.graph.as_ref().ok_or("it has no graph")?;
    if graph.node.len() > NODES_MAX || !proto.functions.is_empty() {
        return Err(format!("it has more than {NODES_MAX} nodes, or functions"));
    }
    let elsewhere = |one: &pb::TensorProto| !one.external_data.is_empty();
    let inside = graph.node.iter().flat_map(|node| &node.attribute);
    if graph.initializer.iter().chain(inside.filter_map(|one| one.t.as_ref())).any(elsewhere) {
        return Err("its numbers are in another file; they must be in its own".to_owned());
    }
    let given = |name: &str| graph.initializer.iter().any(|one| one.name == name);
    let inputs: Vec<&str> =
        graph.input.iter().map(|input| &input.name[..]).filter(|name| !given(name)).collect();
    if inputs != [&descriptor.input.name] {
        return Err(format!("its inputs are {inputs:?}, not the one of the descriptor"));
    }
    let outputs: Vec<&str> = graph.output.iter().map(|output| &output.name[..]).collect();
    let place = |name: &str| {
        let place = outputs.iter().position(|output| *output == name);
        place.ok_or_else(|| format!("its outputs are {outputs:?}, and {name} is none of them"))
    };
    descriptor.outputs().into_iter().map(place).collect()
}

fn build(
    proto: &pb::ModelProto,
    descriptor: &Descriptor,
    order: &[usize],
) -> Result<Arc<TypedRunnableModel>, String> {
    // What it says about sizes inside may be of another batch: they follow from what goes in.
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let build = || -> TractResult<Arc<TypedRunnableModel>> {
        let parsed = onnx.parse(proto, None)?;
        if !parsed.unresolved_inputs.is_empty() {
            bail(format!("nothing gives {:?}", parsed.unresolved_inputs))?;
        }
        let shape = descriptor.input.shape;
        let mut model = parsed.model.with_input_fact(0, f32::fact(shape).into())?;
        let outlets = model.output_outlets()?.to_vec();
        let wanted: Vec<OutletId> = order.iter().map(|at| outlets[*at]).collect();
        model.select_output_outlets(&wanted)?;
        let model = model.into_optimized()?;
        for at in 0..wanted.len() {
            let fact = model.output_fact(at)?;
            let shape = fact.shape.as_concrete();
            let numbers = shape.map(|shape| shape.iter().product::<usize>());
            if fact.datum_type != DatumType::F32 {
                bail("an output is none of numbers with 32 bits".to_owned())?;
            }
            if numbers.is_none_or(|numbers| numbers > OUTPUT_MAX) {
                bail("how many numbers come out is not known before, or they are too many".into())?;
            }
        }
        model.into_runnable()
    };
    build().map_err(|error| {
        let why: String = error.root_cause().to_string();
        why.chars().filter(|char| !char.is_control()).take(300).collect()
    })
}

fn bail(why: String) -> TractResult<()> {
    Err(TractError::msg(why))
}
