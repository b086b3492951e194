use portcullis_store::token_hash;
use portcullis_types::{Entropy, random_token};

/// Longer tokens in a link are not even hashed.
const MAX_TOKEN_CHARS: usize = 64;

/// A fresh single-use token and what is stored of it.
pub(crate) fn fresh(entropy: &dyn Entropy) -> (String, Vec<u8>) {
    let token = random_token(entropy);
    let hash = token_hash(&token);
    (token, hash)
}

/// What is stored of a token that came back.
pub(crate) fn hash_of(token: &str) -> Vec<u8> {
    if token.len() > MAX_TOKEN_CHARS { Vec::new() } else { token_hash(token) }
}
