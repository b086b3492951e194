//! Checkpoints (C2SP `tlog-checkpoint`): origin, size and root of a log, as a signed note.

use data_encoding::BASE64;

use crate::{Hash, NoteError, NoteSigner, NoteVerifier};

/// The state of a log at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: its URL prefix without scheme.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

/// A checkpoint could not be read or trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note itself.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text under the signature is not a checkpoint.
    #[error("the signed text is not a checkpoint")]
    Malformed,
    /// The checkpoint is of another log.
    #[error("the checkpoint is of another log")]
    Origin,
}

impl Checkpoint {
    /// The signed form.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String, CheckpointError> {
        let text = format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root));
        Ok(signer.sign(&text)?)
    }

    /// Reads a checkpoint that `verifier` signed; its name must be the origin.
    pub fn open(note: &str, verifier: &NoteVerifier) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(verifier.open(note)?).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin == verifier.name() {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Origin)
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let plain = !size.is_empty()
            && size.bytes().all(|b| b.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        if origin.is_empty() || !plain {
            return None;
        }
        let root = BASE64.decode(root.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { origin: origin.to_owned(), size: size.parse().ok()?, root })
    }
}
