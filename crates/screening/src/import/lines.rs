//! JSON, one value on each line, in bounded memory.

use std::io::{BufRead, Read};

use super::{ImportError, unsound};

/// Bytes of one line.
pub const LINE_MAX_BYTES: usize = 16 << 20;

/// Lines of a file.
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// Begins to read.
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not empty, and its number.
    pub fn next(&mut self) -> Result<Option<(usize, &[u8])>, ImportError> {
        loop {
            self.buffer.clear();
            let limit = LINE_MAX_BYTES as u64 + 1;
            let read = self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
            self.number += 1;
            if read == 0 {
                return Ok(None);
            }
            if self.buffer.len() > LINE_MAX_BYTES {
                return Err(unsound(
                    self.place(),
                    format!("a line is longer than {LINE_MAX_BYTES} bytes"),
                ));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let line = self.buffer.trim_ascii();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        Ok(Some((self.number, line)))
    }

    fn place(&self) -> String {
        format!("line {}", self.number)
    }
}
