//! Signed notes (C2SP `signed-note`) with Ed25519.

use aws_lc_rs::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};

use crate::{HASH_BYTES, Hash, hash::sha256};

const ED25519_TYPE: u8 = 1;
/// A verifier reads at most this many signature lines.
const MAX_SIGNATURES: usize = 64;
/// A note longer than this is refused unread.
const MAX_NOTE_BYTES: usize = 64 * 1024;

/// A note or key could not be read, or its signature does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// The key's name is empty or has a space, a plus sign or a control character.
    #[error("the key name must be non-empty and free of spaces, plus signs and control characters")]
    Name,
    /// The key is not 32 bytes, or the verifier key text is not well formed.
    #[error("the key is malformed")]
    Key,
    /// Not a signed note.
    #[error("the note is malformed")]
    Malformed,
    /// There is no valid signature by the key.
    #[error("the note has no valid signature by {0}")]
    Unsigned(String),
}

/// Signs notes under a name.
pub struct NoteSigner {
    name: String,
    pair: Ed25519KeyPair,
    /// For what only the signer itself has to recognise.
    secret: hmac::Key,
}

impl NoteSigner {
    /// From a 32-byte Ed25519 seed.
    pub fn new(name: &str, seed: &[u8]) -> Result<Self, NoteError> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, seed);
        Ok(Self { name: name.to_owned(), pair, secret })
    }

    /// What only whoever has the seed can make of `parts`, for purposes that are not notes. Signed text
    /// never meets it: another algorithm, under a prefix and the name.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Hash {
        let mut mac = hmac::Context::with_key(&self.secret);
        for part in [purpose.as_bytes(), self.name.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(mac.sign().as_ref());
        hash
    }

    /// The key that checks these notes.
    pub fn verifier(&self) -> NoteVerifier {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        NoteVerifier { name: self.name.clone(), public }
    }

    /// `text` (ending in a newline) with a signature line.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !text.ends_with('\n') || text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Malformed);
        }
        let id = self.verifier().key_id();
        let signature = self.pair.sign(text.as_bytes());
        let blob = [id.as_slice(), signature.as_ref()].concat();
        Ok(format!("{text}\n\u{2014} {} {}\n", self.name, BASE64.encode(&blob)))
    }
}

impl std::fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoteSigner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks notes of one key. Its text form is the `vkey` of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    public: [u8; 32],
}

impl NoteVerifier {
    /// The key's name; for a log it is the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads `name+hex+base64`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.trim_end().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        check_name(name)?;
        let key = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::Key)?;
        let [ED25519_TYPE, public @ ..] = key.as_slice() else {
            return Err(NoteError::Key);
        };
        let public = public.try_into().map_err(|_| NoteError::Key)?;
        let verifier = Self { name: name.to_owned(), public };
        let id = HEXUPPER_PERMISSIVE.decode(id.as_bytes()).map_err(|_| NoteError::Key)?;
        if id == verifier.key_id() { Ok(verifier) } else { Err(NoteError::Key) }
    }

    /// The `vkey` text.
    pub fn vkey(&self) -> String {
        let key = [&[ED25519_TYPE], self.public.as_slice()].concat();
        let id = data_encoding::HEXLOWER.encode(&self.key_id());
        format!("{}+{id}+{}", self.name, BASE64.encode(&key))
    }

    /// The same key under another name, as a log has it that goes on from another.
    pub fn renamed(&self, name: &str) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), public: self.public })
    }

    fn key_id(&self) -> [u8; 4] {
        let hash = sha256(&[self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.public]);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The text of `note` if this key signed it. Signatures by other keys are passed over.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let note = SignedNote::parse(note)?;
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        let good = note.signatures.iter().any(|(name, blob)| {
            *name == self.name
                && blob
                    .strip_prefix(self.key_id().as_slice())
                    .is_some_and(|signature| key.verify(note.text.as_bytes(), signature).is_ok())
        });
        if good { Ok(note.text) } else { Err(NoteError::Unsigned(self.name.clone())) }
    }
}

/// A note taken apart, its signatures not yet checked.
#[derive(Debug)]
pub struct SignedNote<'a> {
    /// The signed text with its final newline.
    pub text: &'a str,
    /// Key name, and key id with signature.
    pub signatures: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> SignedNote<'a> {
    /// Takes `note` apart.
    pub fn parse(note: &'a str) -> Result<Self, NoteError> {
        let hostile = |b: u8| b < 0x20 && b != b'\n';
        if note.len() > MAX_NOTE_BYTES || note.bytes().any(hostile) {
            return Err(NoteError::Malformed);
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            let (name, blob) = line
                .strip_prefix("\u{2014} ")
                .and_then(|rest| rest.split_once(' '))
                .ok_or(NoteError::Malformed)?;
            let blob = BASE64.decode(blob.as_bytes()).map_err(|_| NoteError::Malformed)?;
            if blob.len() < 5 || signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::Malformed);
            }
            signatures.push((name, blob));
        }
        Ok(Self { text, signatures })
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.chars().any(bad) { Err(NoteError::Name) } else { Ok(()) }
}
