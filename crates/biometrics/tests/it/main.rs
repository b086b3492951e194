//! Models whose answers follow by hand, from the picture to what is said of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::allow_attributes,
    reason = "tests"
)]

mod graphs;

use std::{fs, path::PathBuf};

use portcullis_biometrics::{ARCFACE, Descriptor, Models, Selfie};
use portcullis_capture::Photo;
use prost::Message;
use tract_onnx::pb::ModelProto;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models");

/// A directory of its own with these files, gone after the test.
struct Directory(PathBuf);

impl Directory {
    fn of(files: &[(&str, Vec<u8>)]) -> Self {
        let name =
            format!("portcullis-models-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name.replace(['(', ')'], ""));
        fs::remove_dir_all(&path).ok();
        fs::create_dir(&path).unwrap();
        for (name, bytes) in files {
            fs::write(path.join(name), bytes).unwrap();
        }
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn kept() -> Models {
    Models::load(KEPT.as_ref()).unwrap()
}

type Rgb = [u8; 3];

/// A picture with faces: each 112 pixels wide at a cell of 8 for its nose, with the colour of its left and its right.
fn drawn(side: u32, scale: u32, faces: &[((u32, u32), Rgb, Rgb)]) -> Photo {
    let mut rgb = Vec::new();
    for y in 0..side {
        for x in 0..side {
            let (x, y) = (x / scale, y / scale);
            let mut pixel = [90, 90, 90];
            for ((column, row), left, right) in faces {
                let nose = (f64::from(*column) * 8.0 + 4.0, f64::from(*row) * 8.0 + 4.0);
                let at =
                    (f64::from(x) - nose.0 + ARCFACE[2].0, f64::from(y) - nose.1 + ARCFACE[2].1);
                if (0.0..112.0).contains(&at.0) && (0.0..112.0).contains(&at.1) {
                    pixel = if at.0 < 56.0 { *left } else { *right };
                }
                if (x / 8, y / 8) == (*column, *row) {
                    pixel = [255, 0, 0];
                }
            }
            rgb.extend(pixel);
        }
    }
    Photo::from_rgb(side, side, rgb).unwrap()
}

const BLUE: Rgb = [10, 20, 230];
const GREEN: Rgb = [10, 230, 20];
const WHITE: Rgb = [250, 250, 250];
const BLACK: Rgb = [5, 5, 5];

fn look(photo: &Photo) -> Selfie {
    kept().look(photo).unwrap()
}

#[test]
fn the_kept_models_are_what_is_made_here() {
    for (name, bytes) in graphs::files() {
        let kept = fs::read(PathBuf::from(KEPT).join(name)).unwrap_or_default();
        assert!(
            kept == bytes,
            "{name}: run `cargo run -p portcullis-biometrics --example write_models`"
        );
    }
}

#[test]
fn faces_are_where_they_are() {
    let none = look(&drawn(320, 1, &[]));
    assert!(none.faces.is_empty() && none.face().is_none() && none.grey().is_none());
    let one = look(&drawn(320, 1, &[((17, 20), BLUE, GREEN)]));
    let [face] = one.faces[..] else { panic!("{:?}", one.faces) };
    // The nose is in the middle of its cell, and everything else around it.
    let nose = (17.0 * 8.0 + 4.0, 20.0 * 8.0 + 4.0);
    let expected = (nose.0 - ARCFACE[2].0, nose.1 - ARCFACE[2].1);
    assert!(
        (face.left - expected.0).abs() < 0.01 && (face.top - expected.1).abs() < 0.01,
        "{face:?}"
    );
    assert!((face.width - 112.0).abs() < 0.01 && (face.height - 112.0).abs() < 0.01);
    assert!((face.points[2].0 - nose.0).abs() < 0.01 && face.score > 0.99);
    assert!(face.turn().unwrap() < 0.01);
    let two = look(&drawn(320, 1, &[((9, 10), BLUE, BLUE), ((28, 28), GREEN, GREEN)]));
    assert_eq!(two.faces.len(), 2);
    // Twice as large is the same, in pixels of the picture.
    let large = look(&drawn(640, 2, &[((17, 20), BLUE, GREEN)]));
    let [face] = large.faces[..] else { panic!("{:?}", large.faces) };
    assert!((face.width - 224.0).abs() < 0.1 && (face.left - 2.0 * expected.0).abs() < 0.1);
}

#[test]
fn two_pictures_of_a_face_are_near_and_two_faces_are_not() {
    let models = kept();
    let template = |photo: &Photo| models.template(&models.look(photo).unwrap()).unwrap().unwrap();
    let here = template(&drawn(320, 1, &[((17, 20), BLUE, GREEN)]));
    assert_eq!(here.dimensions(), 192);
    let there = template(&drawn(320, 1, &[((9, 28), BLUE, GREEN)]));
    let large = template(&drawn(640, 2, &[((17, 20), BLUE, GREEN)]));
    let mirrored = template(&drawn(320, 1, &[((17, 20), GREEN, BLUE)]));
    let opposite = template(&drawn(320, 1, &[((17, 20), [245, 235, 25], [245, 25, 235])]));
    assert!(here.cosine(&there).unwrap() > 0.999);
    assert!(here.cosine(&large).unwrap() > 0.99);
    // By hand: of three colours one is the same, dark red, and two have changed places: (1 - 1 - 1) / 3, but for how
    // dark they are: 117.5, 107.5 and 102.5 from the middle.
    let (red, near, far) = (117.5f64, 107.5, 102.5);
    let expected = (red * red - 2.0 * near * far) / (red * red + near * near + far * far);
    let found = here.cosine(&mirrored).unwrap();
    assert!((found - expected).abs() < 0.02, "{found} {expected}");
    assert!(here.cosine(&opposite).unwrap() < -0.95);
    let none = models.look(&drawn(320, 1, &[])).unwrap();
    assert_eq!(models.template(&none).unwrap(), None);
    let (threshold, review, _) = models.embedding().unwrap();
    assert_eq!((threshold, review), (0.8, 0.6));
}

#[test]
fn who_is_there_and_how_old_follow_from_the_colours() {
    let models = kept();
    let told = |colour: Rgb| {
        let selfie = models.look(&drawn(320, 1, &[((17, 20), colour, colour)])).unwrap();
        let live = models.liveness(&selfie).unwrap().unwrap();
        (live.score, models.age(&selfie).unwrap().unwrap().years, live)
    };
    let ((blue, ..), (green, ..), (white, old, live)) = (told(BLUE), told(GREEN), told(WHITE));
    assert!(blue > 0.9 && green < 0.1, "{blue} {green}");
    // All alike, but for the nose: one of three.
    assert!((white - 1.0 / 3.0).abs() < 0.01, "{white}");
    assert_eq!((live.threshold, live.review), (0.5, 0.4));
    let (_, young, _) = told(BLACK);
    // Half of how bright it is; the nose is 64 of 12,544 pixels, and is not green.
    let nose = 64.0 / 12_544.0;
    assert!((old - 125.0 * (1.0 - nose)).abs() < 1.0, "{old}");
    assert!((young - 2.5).abs() < 1.0, "{young}");
}

#[test]
fn without_a_model_nothing_is_said() {
    let files = graphs::files();
    let only = |names: &[&str]| {
        files.iter().filter(|(name, _)| names.contains(name)).cloned().collect::<Vec<_>>()
    };
    let directory = Directory::of(&only(&["detector.json", "detector.onnx"]));
    let models = Models::load(&directory.0).unwrap();
    let selfie = models.look(&drawn(320, 1, &[((17, 20), BLUE, BLUE)])).unwrap();
    assert_eq!(models.template(&selfie).unwrap(), None);
    assert!(models.liveness(&selfie).unwrap().is_none() && models.age(&selfie).unwrap().is_none());
    assert!(models.comparing().is_none() && models.telling_live().is_none());
    assert!(models.telling_age().is_none() && models.embedding().is_none());
    assert_eq!(models.detector()[0].name, "red-squares");
}

/// Why a directory with the usual files, one of them changed, is refused.
fn refused(name: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let mut files = graphs::files();
    for (other, bytes) in &mut files {
        if *other == name {
            *bytes = change(bytes);
        }
    }
    let directory = Directory::of(&files);
    Models::load(&directory.0).map(|_| ()).unwrap_err().why
}

#[test]
fn descriptors_that_make_no_sense_are_refused() {
    for (name, from, to, why) in [
        ("pad.json", "\"kind\": \"pad\"", "\"kind\": \"eyes\"", "unknown variant"),
        ("pad.json", "\"version\"", "\"colour\"", "unknown field"),
        ("pad.json", "\"file\": \"", "\"file\": \"../", "file: must be"),
        ("pad.json", "Apache-2.0", " ", "licence: must be"),
        ("pad.json", "[1, 3, 80, 80]", "[2, 3, 80, 80]", "input.shape"),
        ("pad.json", "[1, 3, 80, 80]", "[1, 4, 80, 80]", "input.shape"),
        ("pad.json", "[1, 3, 80, 80]", "[1, 3, 80, 80000]", "input.shape"),
        ("pad.json", "0.02, 0.02, 0.02", "0.02, 0, 0.02", "no scale 0"),
        ("pad.json", "\"box_scale\": 1.0", "\"box_scale\": 0.5", "crop.box_scale"),
        ("pad.json", ", \"live_index\": 0", "", "output.live_index"),
        ("pad.json", "\"live_index\": 0", "\"live_index\": 3", "has 3 numbers"),
        ("pad.json", "\"threshold\": 0.5", "\"threshold\": 1.5", "threshold"),
        ("pad.json", "\"review\": 0.4", "\"review\": 0.6", "threshold"),
        ("pad.json", "\"name\": \"colours\"", "\"name\": \"smells\"", "none of them"),
        ("pad.json", "\"name\": \"input\"", "\"name\": \"picture\"", "its inputs are"),
        ("age.json", "\"tolerance\": 10", "\"tolerance\": -1", "tolerance"),
        ("age.json", "\"kind\": \"age\"", "\"kind\": \"detection\"", "a detector has no output"),
        ("embedding.json", "[1, 3, 112, 112]", "[1, 3, 96, 96]", "aligned to 112"),
        ("detector.json", "\"strides\": [8]", "\"strides\": [7]", "strides"),
        ("detector.json", "\"strides\": [8]", "\"strides\": [16]", "has 1600 numbers"),
        ("detector.json", "\"anchors\": 1", "\"anchors\": 2", "has 1600 numbers"),
        (
            "detector.json",
            "\"landmarks\": [\"landmarks\"]",
            "\"landmarks\": []",
            "one output of each",
        ),
        ("detector.json", "scrfd", "yunet", "one output of each"),
        ("detector.json", "detection\", \"name\"", "embedding\", \"name\"", "aligned to 112"),
    ] {
        let found = refused(name, |bytes| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(text.contains(from), "{name} {from}");
            text.replacen(from, to, 1).into_bytes()
        });
        assert!(found.contains(why), "{name} {to}: {found}");
    }
    assert!(Descriptor::read(&[b' '; 70_000]).unwrap_err().contains("above"));
}

/// A directory in which the model of faces is this one.
fn with_embedding(model: &ModelProto) -> Result<Models, String> {
    let bytes = model.encode_to_vec();
    let before = graphs::sha256(&graphs::embedding().encode_to_vec());
    let mut files = graphs::files();
    for (name, content) in &mut files {
        match *name {
            "embedding.onnx" => content.clone_from(&bytes),
            "embedding.json" => {
                let text = String::from_utf8(content.clone()).unwrap();
                *content = text.replace(&before, &graphs::sha256(&bytes)).into_bytes();
            }
            _ => {}
        }
    }
    let directory = Directory::of(&files);
    Models::load(&directory.0).map_err(|error| error.why)
}

#[test]
fn models_that_cannot_be_used_are_refused() {
    let changed = refused("embedding.onnx", |bytes| [bytes, &[0]].concat());
    assert!(changed.contains("SHA-256"), "{changed}");
    type Change = fn(&mut ModelProto);
    let cases: [(Change, &str); 9] = [
        (|model| model.opset_import[0].version = 99, "operators are of version 99"),
        (|model| model.opset_import.clear(), "operators are of version 0"),
        (|model| model.graph = None, "no graph"),
        (|model| model.graph.as_mut().unwrap().node[0].op_type = "Smell".into(), ""),
        (|model| model.graph.as_mut().unwrap().node[0].input[0] = "elsewhere".into(), "elsewhere"),
        (|model| drop(model.graph.as_mut().unwrap().output.pop()), "outputs are []"),
        (
            |model| {
                let graph = model.graph.as_mut().unwrap();
                let there = tract_onnx::pb::StringStringEntryProto {
                    key: "location".into(),
                    value: "/etc/passwd".into(),
                };
                graph.initializer[0].external_data.push(there);
            },
            "in another file",
        ),
        (
            // What is divided by nothing is no number.
            |model| {
                let graph = model.graph.as_mut().unwrap();
                let mut node = graph.node[1].clone();
                node.op_type = "Div".into();
                node.input = vec!["input".into(), "input".into()];
                node.output = vec!["one".into()];
                node.name = "divided".into();
                let mut less = node.clone();
                less.op_type = "Sub".into();
                less.output = vec!["none".into()];
                less.name = "less".into();
                node.input = vec!["none".into(), "none".into()];
                graph.node[0].input[0] = "one".into();
                graph.node.splice(0..0, [less, node]);
            },
            "does not say numbers",
        ),
        (|model| model.graph.as_mut().unwrap().initializer[0].int64_data = vec![1, 191], ""),
    ];
    assert!(with_embedding(&graphs::embedding()).is_ok());
    for (at, (change, why)) in cases.into_iter().enumerate() {
        let mut model = graphs::embedding();
        change(&mut model);
        let found = with_embedding(&model).map(|_| ()).unwrap_err();
        assert!(found.contains(why), "{at}: {found}");
    }
    // Two of one kind, and none.
    let mut files = graphs::files();
    let twice = files.iter().find(|(name, _)| *name == "age.json").unwrap().1.clone();
    files.push(("older.json", twice));
    let directory = Directory::of(&files);
    let why = Models::load(&directory.0).unwrap_err().to_string();
    assert!(why.contains("two models of the kind age"), "{why}");
    drop(directory);
    assert!(Models::load(&Directory::of(&[]).0).unwrap_err().why.contains("0 descriptors"));
    assert!(Models::load("/nowhere".as_ref()).is_err());
}

/// Numbers are cut off and turned around, and nothing but an error comes of it.
#[test]
fn damaged_models_are_refused_without_harm() {
    let good = graphs::embedding().encode_to_vec();
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        if let Ok(model) = ModelProto::decode(&bad[..]) {
            // One that still makes sense may be taken.
            with_embedding(&model).ok();
        }
        ModelProto::decode(&good[..at]).map(|model| with_embedding(&model).ok()).ok();
    }
}
