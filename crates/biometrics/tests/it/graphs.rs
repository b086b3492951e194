//! Small models whose answers follow by hand. They are made here and kept in `tests/models`, for whoever else needs
//! some: a face is a bright red square of 8 pixels, two are as near as their colours, whoever is bluer than green is
//! there, and grey is old.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

fn info(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = shape.iter().map(|size| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*size)),
        ..Default::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..Default::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
}

fn floats(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: numbers.to_vec(),
        ..Default::default()
    }
}

fn whole(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![numbers.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: numbers.to_vec(),
        ..Default::default()
    }
}

fn node(op: &str, input: &[&str], output: &str, ints: &[(&str, &[i64])]) -> NodeProto {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let attribute = ints.iter().map(|(name, ints)| AttributeProto {
        name: (*name).to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..Default::default()
    });
    NodeProto {
        op_type: op.to_owned(),
        name: format!("make_{output}"),
        input: texts(input),
        output: texts(&[output]),
        attribute: attribute.collect(),
        ..Default::default()
    }
}

pub fn model(
    input: &[i64],
    outputs: &[(&str, &[i64])],
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> ModelProto {
    let graph = GraphProto {
        name: "by_hand".to_owned(),
        node: nodes,
        initializer,
        input: vec![info("input", input)],
        output: outputs.iter().map(|(name, shape)| info(name, shape)).collect(),
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    ModelProto {
        ir_version: 7,
        opset_import: vec![opset],
        producer_name: "portcullis".to_owned(),
        graph: Some(graph),
        ..Default::default()
    }
}

/// A face wherever a cell of 8 pixels is as red as can be and neither green nor blue, with its points where those of
/// ArcFace would be if it were 112 pixels wide, and it is 14 cells wide: the cell is at the tip of the nose.
pub fn detector(side: i64) -> ModelProto {
    let cells = side / 8;
    let rows = cells * cells;
    // Red less green less blue, the mean of a cell.
    let weights: Vec<f32> = [1.0, -1.0, -1.0]
        .iter()
        .flat_map(|colour| std::iter::repeat_n(colour / 64.0, 64))
        .collect();
    // The middle of the cell is the nose of the template, in cells.
    let nose = portcullis_biometrics::ARCFACE[2];
    let away =
        |(x, y): (f64, f64)| [((x - nose.0) / 8.0 + 0.5) as f32, ((y - nose.1) / 8.0 + 0.5) as f32];
    let points: Vec<f32> = portcullis_biometrics::ARCFACE.into_iter().flat_map(away).collect();
    let side = |from: f64| (from / 8.0 - 0.5) as f32;
    let sides =
        [side(nose.0), side(nose.1), side(112.0 - nose.0) + 1.0, side(112.0 - nose.1) + 1.0];
    let nodes = vec![
        node(
            "Conv",
            &["input", "weights"],
            "cells",
            &[("kernel_shape", &[8, 8]), ("strides", &[8, 8])],
        ),
        node("Reshape", &["cells", "rows"], "scores", &[]),
        node("Mul", &["scores", "no_sides"], "nothing", &[]),
        node("Add", &["nothing", "sides"], "boxes", &[]),
        node("Mul", &["scores", "no_points"], "nowhere", &[]),
        node("Add", &["nowhere", "points"], "landmarks", &[]),
    ];
    let constants = vec![
        floats("weights", &[1, 3, 8, 8], &weights),
        whole("rows", &[1, rows, 1]),
        floats("no_sides", &[1, 1, 4], &[0.0; 4]),
        floats("sides", &[1, 1, 4], &sides),
        floats("no_points", &[1, 1, 10], &[0.0; 10]),
        floats("points", &[1, 1, 10], &points),
    ];
    let outputs: [(&str, &[i64]); 3] =
        [("scores", &[1, rows, 1]), ("boxes", &[1, rows, 4]), ("landmarks", &[1, rows, 10])];
    model(&[1, 3, cells * 8, cells * 8], &outputs, nodes, constants)
}

/// The colours of a face in 64 squares.
pub fn embedding() -> ModelProto {
    let nodes = vec![
        node(
            "AveragePool",
            &["input"],
            "squares",
            &[("kernel_shape", &[14, 14]), ("strides", &[14, 14])],
        ),
        node("Reshape", &["squares", "flat"], "vector", &[]),
    ];
    model(&[1, 3, 112, 112], &[("vector", &[1, 192])], nodes, vec![whole("flat", &[1, 192])])
}

/// The mean of each colour.
pub fn colours(side: i64) -> ModelProto {
    let nodes = vec![
        node("GlobalAveragePool", &["input"], "means", &[]),
        node("Reshape", &["means", "flat"], "colours", &[]),
    ];
    model(&[1, 3, side, side], &[("colours", &[1, 3])], nodes, vec![whole("flat", &[1, 3])])
}

/// Each file of `tests/models`.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    let models = [
        ("detector.onnx", detector(320)),
        ("embedding.onnx", embedding()),
        ("colours.onnx", colours(80)),
    ];
    let mut files: Vec<(&str, Vec<u8>)> =
        models.into_iter().map(|(name, model)| (name, model.encode_to_vec())).collect();
    let described: Vec<_> = descriptors()
        .into_iter()
        .map(|(name, file, text)| {
            let bytes = &files.iter().find(|(name, _)| *name == file).unwrap().1;
            (name, text.replace("{file}", file).replace("{sha256}", &sha256(bytes)).into_bytes())
        })
        .collect();
    files.extend(described);
    files
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

fn descriptors() -> [(&'static str, &'static str, &'static str); 4] {
    [
        ("detector.json", "detector.onnx", DETECTOR),
        ("embedding.json", "embedding.onnx", EMBEDDING),
        ("pad.json", "colours.onnx", PAD),
        ("age.json", "colours.onnx", AGE),
    ]
}

const DETECTOR: &str = r#"{
  "kind": "detection", "name": "red-squares", "version": "1", "file": "{file}",
  "sha256": "{sha256}", "licence": "Apache-2.0",
  "input": {"name": "input", "shape": [1, 3, 320, 320], "layout": "NCHW", "colour": "RGB",
            "scale": [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]},
  "threshold": 0.7,
  "detection": {"decoder": "scrfd", "strides": [8], "anchors": 1,
                "scores": ["scores"], "boxes": ["boxes"], "landmarks": ["landmarks"]}
}
"#;

const EMBEDDING: &str = r#"{
  "kind": "embedding", "name": "colours-of-a-face", "version": "1", "file": "{file}",
  "sha256": "{sha256}", "licence": "Apache-2.0",
  "input": {"name": "input", "shape": [1, 3, 112, 112], "layout": "NCHW", "colour": "RGB",
            "mean": [127.5, 127.5, 127.5]},
  "output": {"name": "vector"},
  "threshold": 0.8, "review": 0.6
}
"#;

const PAD: &str = r#"{
  "kind": "pad", "name": "bluer-than-green", "version": "1", "file": "{file}",
  "sha256": "{sha256}", "licence": "Apache-2.0",
  "input": {"name": "input", "shape": [1, 3, 80, 80], "layout": "NCHW", "colour": "BGR",
            "scale": [0.02, 0.02, 0.02]},
  "crop": {"box_scale": 1.0},
  "output": {"name": "colours", "activation": "softmax", "live_index": 0},
  "threshold": 0.5, "review": 0.4
}
"#;

const AGE: &str = r#"{
  "kind": "age", "name": "grey-is-old", "version": "1", "file": "{file}",
  "sha256": "{sha256}", "licence": "Apache-2.0",
  "input": {"name": "input", "shape": [1, 3, 80, 80], "layout": "NCHW", "colour": "RGB"},
  "crop": {"box_scale": 1.0},
  "output": {"name": "colours", "index": 1, "scale": 0.5},
  "tolerance": 10
}
"#;
