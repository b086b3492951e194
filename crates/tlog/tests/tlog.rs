//! Trees, proofs and checkpoints against a direct computation and against an independent
//! implementation of the formats.
#![expect(clippy::cast_possible_truncation, reason = "small numbers, in tests")]

use std::{collections::HashMap, convert::Infallible};

use portcullis_tlog::{
    Checkpoint, CheckpointError, Hash, HashReader, NoteSigner, NoteVerifier, OfflineProof,
    consistency_proof, hashes_added_by, inclusion_proof, leaf_hash, node_hash, root,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

#[derive(Default)]
struct Memory(HashMap<(u8, u64), Hash>);

impl HashReader for Memory {
    type Error = Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[&(level, index)])
    }
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn log(size: u64) -> Memory {
    let mut memory = Memory::default();
    for index in 0..size {
        let leaf = leaf_hash(&entry(index));
        let above = hashes_added_by(&memory, index, leaf).unwrap();
        memory.0.insert((0, index), leaf);
        for (level, hash) in above.into_iter().enumerate() {
            memory.0.insert((level as u8 + 1, index >> (level + 1)), hash);
        }
    }
    memory
}

/// The definition of RFC 6962, section 2.1, word by word.
fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => portcullis_tlog::EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&slow_root(&leaves[..split]), &slow_root(&leaves[split..]))
        }
    }
}

#[test]
fn roots_follow_the_definition() {
    let memory = log(70);
    let leaves: Vec<Hash> = (0..70).map(|index| leaf_hash(&entry(index))).collect();
    for size in 0..=70 {
        assert_eq!(root(&memory, size).unwrap(), slow_root(&leaves[..size as usize]), "{size}");
    }
}

#[test]
fn every_proof_holds_and_no_other_does() {
    let memory = log(40);
    for size in 1..=40 {
        let whole = root(&memory, size).unwrap();
        for index in 0..size {
            let path = inclusion_proof(&memory, index, size).unwrap();
            let leaf = leaf_hash(&entry(index));
            assert_eq!(verify_inclusion(leaf, index, size, &whole, &path), Ok(()));
            assert!(verify_inclusion(leaf_hash(b"x"), index, size, &whole, &path).is_err());
            assert!(verify_inclusion(leaf, index + 1, size, &whole, &path).is_err());
            let longer = [path, vec![leaf]].concat();
            assert!(verify_inclusion(leaf, index, size, &whole, &longer).is_err());
        }
        for old in 0..=size {
            let before = root(&memory, old).unwrap();
            let path = consistency_proof(&memory, old, size).unwrap();
            let held = verify_consistency((old, &before), (size, &whole), &path);
            assert_eq!(held, Ok(()), "{old} {size}");
            if old > 0 && old < size {
                assert!(verify_consistency((old, &[7; 32]), (size, &whole), &path).is_err());
                assert!(verify_consistency((old, &before), (size, &[7; 32]), &path).is_err());
            }
        }
    }
}

#[test]
fn offline_proofs_round_trip_and_name_the_log() {
    let memory = log(9);
    let signer = NoteSigner::new("log.example/2026", &[9; 32]).unwrap();
    let checkpoint =
        Checkpoint { origin: "log.example/2026".into(), size: 9, root: root(&memory, 9).unwrap() };
    let proof = OfflineProof {
        index: 4,
        path: inclusion_proof(&memory, 4, 9).unwrap(),
        checkpoint: checkpoint.sign(&signer).unwrap(),
    };
    let read = OfflineProof::parse(&proof.to_text()).unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.verify(&entry(4), &signer.verifier()).unwrap(), checkpoint);
    assert!(read.verify(&entry(5), &signer.verifier()).is_err());
    let stranger = NoteSigner::new("log.example/2026", &[8; 32]).unwrap().verifier();
    assert!(read.verify(&entry(4), &stranger).is_err());
}

#[test]
fn a_checkpoint_of_another_origin_is_refused() {
    let signer = NoteSigner::new("a.example", &[1; 32]).unwrap();
    let note = Checkpoint { origin: "b.example".into(), size: 0, root: [0; 32] };
    let note = note.sign(&signer).unwrap();
    assert_eq!(Checkpoint::open(&note, &signer.verifier()), Err(CheckpointError::Origin));
}

#[test]
fn verifier_keys_round_trip_and_check_their_id() {
    let verifier = NoteSigner::new("log.example", &[3; 32]).unwrap().verifier();
    let vkey = verifier.vkey();
    assert_eq!(NoteVerifier::parse(&vkey), Ok(verifier));
    let other = NoteSigner::new("log.example", &[4; 32]).unwrap().verifier().vkey();
    let mixed = format!("{}{}", &vkey[..vkey.len() - 44], &other[other.len() - 44..]);
    assert!(NoteVerifier::parse(&mixed).is_err());
    for bad in ["", "a+b+c", "a b+00000000+AA==", "name+zz+AA=="] {
        assert!(NoteVerifier::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_independent_implementation_reads_our_checkpoint() {
    use signed_note::{StandardVerifier, VerifierList};
    let signer = NoteSigner::new("log.example/2026", &[5; 32]).unwrap();
    let ours = Checkpoint { origin: "log.example/2026".into(), size: 12, root: [6; 32] };
    let note = ours.sign(&signer).unwrap();
    let theirs = StandardVerifier::new(&signer.verifier().vkey()).unwrap();
    let parsed = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    let (verified, _) = parsed.verify(&VerifierList::new(vec![Box::new(theirs)])).unwrap();
    assert_eq!(verified.len(), 1);
    let text = tlog_tiles::Checkpoint::from_bytes(parsed.text()).unwrap();
    assert_eq!((text.origin(), text.size(), text.hash().0), ("log.example/2026", 12, [6; 32]));
}

#[test]
fn an_independent_implementation_accepts_our_proofs() {
    let memory = log(33);
    let whole = tlog_tiles::Hash(root(&memory, 33).unwrap());
    for index in 0..33 {
        let path = inclusion_proof(&memory, index, 33).unwrap();
        let path: Vec<tlog_tiles::Hash> = path.into_iter().map(tlog_tiles::Hash).collect();
        let leaf = tlog_tiles::Hash(leaf_hash(&entry(index)));
        tlog_tiles::check_record(&path, 33, whole, index, leaf).unwrap();
    }
    for old in 1..33 {
        let path = consistency_proof(&memory, old, 33).unwrap();
        let path: Vec<tlog_tiles::Hash> = path.into_iter().map(tlog_tiles::Hash).collect();
        let before = tlog_tiles::Hash(root(&memory, old).unwrap());
        tlog_tiles::check_tree(&path, 33, whole, old, before).unwrap();
    }
}

proptest! {
    #[test]
    fn hostile_text_never_panics(text in "\\PC{0,200}") {
        let verifier = NoteSigner::new("a", &[1; 32]).unwrap().verifier();
        let _ = NoteVerifier::parse(&text);
        let _ = verifier.open(&text);
        let _ = OfflineProof::parse(&text);
    }
}
